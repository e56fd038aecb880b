"""What an uploaded file really is, told by its own first bytes and never by its name.

Formats: PNG (W3C PNG, 5.2 and 11.2), JPEG (ITU-T T.81, Annex B), WebP (RFC 9649), PDF (ISO 32000).
Whatever a browser could run, such as SVG or HTML, is none of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from server.domain.errors import FieldFault, Invalid, TooLarge

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_FRAME_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_MAX_NAME: Final = 120
_MAX_SEGMENTS: Final = 1000
"""Real pictures have some dozens before their size; a made one of millions must cost no time."""


@dataclass(frozen=True, slots=True)
class Media:
    """A recognised format; the size of a picture in pixels where it could be read."""

    mime: str
    width: int | None = None
    height: int | None = None

    @property
    def is_image(self) -> bool:
        """Whether it is a picture."""
        return self.mime.startswith("image/")


def plain_name(name: str) -> str:
    """The last part of a file's name, without what could steer a terminal or a header."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(char for char in last if char.isprintable()).strip()[:_MAX_NAME] or "file"


def recognise(content: bytes) -> Media | None:
    """The format of a file, or None for anything that is not accepted."""
    if content.startswith(_PNG) and content[12:16] == b"IHDR":
        return Media("image/png", _big(content, 16, 4), _big(content, 20, 4))
    if content.startswith(b"\xff\xd8\xff"):
        width, height = _jpeg_size(content)
        return Media("image/jpeg", width, height)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        width, height = _webp_size(content)
        return Media("image/webp", width, height)
    if content.startswith(b"%PDF-"):
        return Media("application/pdf")
    return None


def admit(content: bytes, *, max_bytes: int, max_pixels: int, pictures_only: bool = False) -> Media:
    """The format of a file that may be kept. A few bytes can say millions of pixels.

    Raises
    ------
    TooLarge, Invalid
        For what is too large, of another kind, or a picture without a size or with too many pixels.
    """
    if len(content) > max_bytes:
        raise TooLarge(max_bytes)
    found = recognise(content)
    if found is None or (pictures_only and not found.is_image):
        raise Invalid(FieldFault("file", "picture-type" if pictures_only else "file-type"))
    if found.is_image:
        if not (found.width and found.height):
            raise Invalid(FieldFault("file", "picture-damaged"))
        if found.width * found.height > max_pixels:
            raise Invalid(FieldFault("file", "picture-size"))
    return found


def _jpeg_size(content: bytes) -> tuple[int | None, int | None]:
    place = 2
    for _ in range(_MAX_SEGMENTS):
        if not (place + 9 <= len(content) and content[place] == 0xFF):
            break
        marker = content[place + 1]
        if marker in _FRAME_MARKERS:
            return _big(content, place + 7, 2), _big(content, place + 5, 2)
        if marker == 0xFF:
            place += 1
        elif marker in _BARE_MARKERS:
            place += 2
        else:
            place += 2 + _big(content, place + 2, 2)
    return None, None


def _webp_size(content: bytes) -> tuple[int | None, int | None]:
    kind = content[12:16]
    if len(content) < 30:
        return None, None
    if kind == b"VP8X":
        return 1 + _little(content, 24, 3), 1 + _little(content, 27, 3)
    if kind == b"VP8 ":
        return _little(content, 26, 2) & 0x3FFF, _little(content, 28, 2) & 0x3FFF
    if kind == b"VP8L":
        bits = _little(content, 21, 4)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None, None


def _big(content: bytes, place: int, size: int) -> int:
    return int.from_bytes(content[place : place + size], "big")


def _little(content: bytes, place: int, size: int) -> int:
    return int.from_bytes(content[place : place + size], "little")
