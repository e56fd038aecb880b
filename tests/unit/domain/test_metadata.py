"""Pictures that tell where they were taken, and do not any more."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from server.domain.metadata import without_metadata

SECRET = b"27.7215N 85.3206E Lazimpat"
GPS_IFD, ORIENTATION, MAKER, GPS_NOTE = 0x8825, 0x0112, 0x010F, 0x001B


def picture(kind: str, *, orientation: int = 1, **options: object) -> bytes:
    image = Image.new("RGB", (24, 16), (200, 90, 20))
    image.putpixel((3, 2), (0, 0, 255))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[MAKER] = SECRET.decode()
    exif.get_ifd(GPS_IFD)[GPS_NOTE] = SECRET
    file = io.BytesIO()
    image.save(file, kind, exif=exif, **options)
    return file.getvalue()


def pixels(content: bytes) -> bytes:
    return Image.open(io.BytesIO(content)).convert("RGB").tobytes()


@pytest.mark.parametrize(
    ("kind", "mime", "options"),
    [
        ("JPEG", "image/jpeg", {"comment": SECRET}),
        ("JPEG", "image/jpeg", {"comment": SECRET, "progressive": True, "quality": 90}),
        ("PNG", "image/png", {}),
        ("WEBP", "image/webp", {"lossless": True}),
        ("WEBP", "image/webp", {"quality": 80, "xmp": SECRET}),
    ],
)
def test_the_place_goes_and_the_picture_stays(kind, mime, options):
    content = picture(kind, **options)
    assert SECRET in content
    plain = without_metadata(content, mime)
    assert plain is not None
    assert SECRET not in plain
    assert pixels(plain) == pixels(content)
    assert without_metadata(plain, mime) == plain


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_picture_stays_the_right_way_up(orientation):
    plain = without_metadata(picture("JPEG", orientation=orientation), "image/jpeg")
    assert plain is not None
    assert dict(Image.open(io.BytesIO(plain)).getexif()) == {ORIENTATION: orientation}


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_dropped(orientation):
    plain = without_metadata(picture("JPEG", orientation=orientation), "image/jpeg")
    assert plain is not None
    assert dict(Image.open(io.BytesIO(plain)).getexif()) == {}


def test_what_stands_behind_the_end_of_a_jpeg_goes_too():
    content = picture("JPEG") + b"ftypmp42" + SECRET
    plain = without_metadata(content, "image/jpeg")
    assert plain is not None
    assert plain.endswith(b"\xff\xd9")
    assert SECRET not in plain


def test_the_colours_of_a_profile_stay():
    profile = b"a colour profile"
    plain = without_metadata(picture("JPEG", icc_profile=profile), "image/jpeg")
    assert plain is not None
    assert Image.open(io.BytesIO(plain)).info["icc_profile"] == profile


def test_texts_of_a_png_go():
    chunk = struct.pack(">I", len(SECRET)) + b"tEXt" + SECRET + bytes(4)
    content = picture("PNG")
    content = content[:33] + chunk + content[33:]
    plain = without_metadata(content, "image/png")
    assert plain is not None
    assert SECRET not in plain


def test_a_pdf_comes_back_as_it_is():
    assert without_metadata(b"%PDF-1.7\n", "application/pdf") == b"%PDF-1.7\n"


@pytest.mark.parametrize(
    ("kind", "mime"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")]
)
@given(data=st.data())
def test_a_cut_or_garbled_picture_is_refused_or_comes_back_without_the_place(kind, mime, data):
    content = bytearray(picture(kind))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(12, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(content[: data.draw(st.integers(0, len(content)))])
    plain = without_metadata(cut, mime)
    if len(cut) < len(content) and kind != "WEBP":
        assert plain is None
    assert plain is None or len(plain) <= len(cut)


@pytest.mark.parametrize("mime", ["image/jpeg", "image/png", "image/webp"])
@given(content=st.binary(max_size=200))
def test_anything_at_all_raises_nothing(mime, content):
    assert without_metadata(content, mime) is None or content
