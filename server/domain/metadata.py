"""Takes out of a picture what it tells about its maker: place, camera, time, comments, thumbnails.

The picture itself is not decoded or packed anew, so nothing of it is lost. What stays is what
changes how it looks: the colour profile, and for JPEG the direction in which it is held, written
into a fresh Exif block that holds nothing else.

Formats: JPEG (ITU-T T.81, Annex B; Exif 2.32, 4.5 to 4.7), PNG (W3C PNG 3, 5.3 and 11.3), WebP
(RFC 9649, 2.3 to 2.7).
"""

from __future__ import annotations

import re
import struct
from typing import Final

_PNG_HEAD: Final = b"\x89PNG\r\n\x1a\n"
_PNG_DROPPED: Final = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME"})
_WEBP_KEPT: Final = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"ANIM", b"ANMF"})
_WEBP_METADATA_FLAGS: Final = 0x08 | 0x04
_SOI: Final = b"\xff\xd8"
_EOI: Final = b"\xff\xd9"
_APP0: Final = 0xE0
_APP1: Final = 0xE1
_APP2: Final = 0xE2
_APP14: Final = 0xEE
_APP15: Final = 0xEF
_COMMENT: Final = 0xFE
_SCAN: Final = 0xDA
_EXIF: Final = b"Exif\x00\x00"
_ORIENTATION: Final = 0x0112
_SHORT: Final = 3
_UPRIGHT: Final = 1
_ORIENTATIONS: Final = range(1, 9)
_MAX_PARTS: Final = 50_000
# In the packed data of a scan 0xFF is followed by 0x00 or by a restart marker, or fills.
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def without_metadata(content: bytes, mime: str) -> bytes | None:
    """The same picture without what it tells about its maker, None where it is damaged.

    Parameters
    ----------
    content
        A whole file that ``media.recognise`` has recognised.
    mime
        Its media type; anything but the three kinds of picture comes back as it is.
    """
    try:
        if mime == "image/jpeg":
            return _plain_jpeg(content)
        if mime == "image/png":
            return _plain_png(content)
        if mime == "image/webp":
            return _plain_webp(content)
    except (_Damaged, struct.error):
        return None
    return content


class _Damaged(Exception):
    """The parts of the file do not fit together."""


# -- JPEG ------------------------------------------------------------------------------------


def _plain_jpeg(content: bytes) -> bytes:
    """Copy the segments that make the picture, up to its end and nothing behind it.

    Phones append whole films and second pictures behind the end, each with its own position.
    """
    kept = [_SOI]
    orientation = _UPRIGHT
    place = 2
    has_scan = False
    for _ in range(_MAX_PARTS):
        marker, place = _marker(content, place)
        if marker == _EOI[1]:
            if not has_scan:
                raise _Damaged
            return b"".join([kept[0], _oriented(orientation), *kept[1:], _EOI])
        length = _uint(content, place, 2, "big")
        end = place + length
        if length < 2 or end > len(content):
            raise _Damaged
        body = content[place + 2 : end]
        if marker == _APP1 and body.startswith(_EXIF):
            orientation = _orientation(body[len(_EXIF) :])
        elif not _tells(marker, body):
            kept.append(b"\xff" + bytes((marker,)) + content[place:end])
        place = end
        if marker == _SCAN:
            has_scan = True
            found = _MARKER.search(content, place)
            if found is None:
                raise _Damaged
            kept.append(content[place : found.start()])
            place = found.start()
    raise _Damaged


def _marker(content: bytes, place: int) -> tuple[int, int]:
    """The marker at a place, passing over bytes that fill, and the place behind it."""
    if content[place : place + 1] != b"\xff":
        raise _Damaged
    while content[place : place + 1] == b"\xff":
        place += 1
    if place >= len(content):
        raise _Damaged
    return content[place], place + 1


def _tells(marker: int, body: bytes) -> bool:
    """Whether a segment is there for something else than how the picture looks."""
    if marker == _COMMENT:
        return True
    if not _APP0 <= marker <= _APP15:
        return False
    if marker == _APP0:
        # A thumbnail may stand in JFXX, or behind the 14 bytes of JFIF.
        return not (body.startswith(b"JFIF\x00") and len(body) == 14)
    if marker == _APP2:
        return not body.startswith(b"ICC_PROFILE\x00")
    return not (marker == _APP14 and body.startswith(b"Adobe"))


def _orientation(tiff: bytes) -> int:
    """In which direction the picture is held, as its Exif block says; upright where it does not."""
    order: str | None = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None:
        return _UPRIGHT
    try:
        start = _uint(tiff, 4, 4, order)
        count = _uint(tiff, start, 2, order)
        for entry in range(min(count, 512)):
            at = start + 2 + 12 * entry
            if (
                _uint(tiff, at, 2, order) == _ORIENTATION
                and _uint(tiff, at + 2, 2, order) == _SHORT
            ):
                value = _uint(tiff, at + 8, 2, order)
                return value if value in _ORIENTATIONS else _UPRIGHT
    except _Damaged:
        pass
    return _UPRIGHT


def _oriented(orientation: int) -> bytes:
    """An Exif segment that tells the direction and nothing else; none for an upright picture."""
    if orientation == _UPRIGHT:
        return b""
    tiff = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, _ORIENTATION, _SHORT, 1, orientation, 0, 0)
    body = _EXIF + tiff
    return struct.pack(">BBH", 0xFF, _APP1, len(body) + 2) + body


# -- PNG and WebP ----------------------------------------------------------------------------


def _plain_png(content: bytes) -> bytes:
    kept = [_PNG_HEAD]
    place = len(_PNG_HEAD)
    for _ in range(_MAX_PARTS):
        end = place + 12 + _uint(content, place, 4, "big")
        kind = content[place + 4 : place + 8]
        # One head, and it stands first: of two sizes a decoder may take the other.
        if end > len(content) or (kind == b"IHDR") is not (place == len(_PNG_HEAD)):
            raise _Damaged
        if kind not in _PNG_DROPPED:
            kept.append(content[place:end])
        if kind == b"IEND":
            return b"".join(kept)
        place = end
    raise _Damaged


def _plain_webp(content: bytes) -> bytes:
    limit = 8 + _uint(content, 4, 4, "little")
    if limit > len(content):
        raise _Damaged
    kept = []
    place = 12
    has_picture = False
    for _ in range(_MAX_PARTS):
        if place >= limit:
            break
        size = _uint(content, place + 4, 4, "little")
        end = place + 8 + size + size % 2
        kind = content[place : place + 4]
        if end > limit + size % 2:
            raise _Damaged
        if kind == b"VP8X":
            flags = bytes((content[place + 8] & ~_WEBP_METADATA_FLAGS,))
            kept.append(content[place : place + 8] + flags + content[place + 9 : end])
        elif kind in _WEBP_KEPT:
            kept.append(content[place:end])
        has_picture = has_picture or kind in (b"VP8 ", b"VP8L", b"ANMF")
        place = end
    if not has_picture:
        raise _Damaged
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _uint(content: bytes, place: int, size: int, order: str) -> int:
    part = content[place : place + size]
    if len(part) < size:
        raise _Damaged
    return int.from_bytes(part, "big" if order == "big" else "little")
