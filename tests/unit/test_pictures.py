"""Small copies of pictures, and files that lie about their size."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from server.domain.errors import Invalid
from server.domain.media import admit
from server.domain.metadata import without_metadata
from server.pictures import PillowEditor

ORIENTATION, LYING = 0x0112, 6
MAX_PIXELS = 100_000


def chunk(kind: bytes, body: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


def head(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


def png(*heads: bytes, rows: int) -> bytes:
    data = chunk(b"IDAT", zlib.compress(bytes(rows * (1 + 1000))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(heads) + data + chunk(b"IEND", b"")


def codes(error: Invalid) -> list[str]:
    return [fault.code for fault in error.faults]


TWO_SIZES = png(head(10, 10), head(1000, 1000), rows=1000)


def test_a_png_of_two_sizes_is_damaged():
    assert admit(TWO_SIZES, max_bytes=1 << 20, max_pixels=MAX_PIXELS).width == 10
    assert without_metadata(TWO_SIZES, "image/png") is None


@pytest.mark.parametrize("make", [PillowEditor.smaller, PillowEditor.portrait])
def test_what_the_decoder_would_unpack_is_what_counts(make, monkeypatch):
    def unpack(picture: Image.Image) -> None:
        pytest.fail("it was unpacked")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", unpack)
    with pytest.raises(Invalid) as caught:
        make(PillowEditor(MAX_PIXELS), TWO_SIZES, 64)
    assert codes(caught.value) == ["picture-size"]


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_not_read(kind):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind)
    with pytest.raises(Invalid) as caught:
        PillowEditor(MAX_PIXELS).smaller(file.getvalue(), 8)
    assert codes(caught.value) == ["picture-damaged"]


@pytest.mark.parametrize(
    ("width", "height"), [(300, 200), (200, 300), (90, 1000), (5, 5), (1, 900)]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_portrait_is_a_square_of_what_is_there(kind, width, height):
    source = Image.new("RGB", (width, height), (200, 90, 20))
    exif = Image.Exif()
    exif[ORIENTATION] = LYING
    file = io.BytesIO()
    source.save(file, kind, exif=exif)
    made = Image.open(io.BytesIO(PillowEditor(MAX_PIXELS).portrait(file.getvalue(), 64)))
    assert made.size == (64, 64)
    pixel = made.convert("RGB").getpixel((32, 32))
    assert isinstance(pixel, tuple)
    assert max(abs(one - other) for one, other in zip(pixel, (200, 90, 20), strict=True)) < 12
