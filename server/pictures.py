"""Small copies of pictures, made with Pillow; what they tell about their maker stays behind."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from PIL import Image, ImageOps

from server.domain.errors import FieldFault, Invalid

_QUALITY: Final = 80
_FACE: Final = (0.5, 0.35)
"""Of a picture that is not square this place stays: faces stand above the middle."""
_FORMATS: Final = ("JPEG", "PNG", "WEBP")
_TRANSPARENT: Final = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})


class PillowEditor:
    """Implements ``ports.PictureEditor``; what it makes is WebP.

    ``max_pixels`` holds for the size that the decoder would unpack, whatever the file says of
    itself elsewhere: a few bytes can say millions of pixels, and a file can say two sizes.
    """

    mime = "image/webp"

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels

    def smaller(self, content: bytes, side: int) -> bytes:
        """See ``ports.PictureEditor.smaller``."""
        with self._opened(content) as picture:
            # Unpacks a JPEG at a part of its size where that is enough.
            picture.thumbnail((side, side), reducing_gap=2.0)
            return _packed(ImageOps.exif_transpose(picture))

    def portrait(self, content: bytes, side: int) -> bytes:
        """See ``ports.PictureEditor.portrait``."""
        with self._opened(content) as picture:
            # Small before anything copies it; the shorter side stays long enough.
            scale = side / min(picture.size)
            width, height = (math.ceil(length * scale) for length in picture.size)
            picture.thumbnail((width, height), reducing_gap=2.0)
            upright = _plain(ImageOps.exif_transpose(picture))
            return _packed(ImageOps.fit(upright, (side, side), centering=_FACE))

    @contextmanager
    def _opened(self, content: bytes) -> Iterator[Image.Image]:
        try:
            with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
                if math.prod(picture.size) > self._max_pixels:
                    raise Invalid(FieldFault("file", "picture-size"))
                yield picture
        except Invalid:
            raise
        # The decoders of the formats raise all sorts; what cannot be read is a damaged picture.
        except Exception as error:
            raise Invalid(FieldFault("file", "picture-damaged")) from error


def _plain(picture: Image.Image) -> Image.Image:
    is_transparent = picture.mode in _TRANSPARENT or "transparency" in picture.info
    return picture.convert("RGBA" if is_transparent else "RGB")


def _packed(picture: Image.Image) -> bytes:
    # The colour profile of another mode does not fit what it is converted to.
    profile = picture.info.get("icc_profile", b"") if picture.mode in {"RGB", "RGBA"} else b""
    file = io.BytesIO()
    _plain(picture).save(file, "WEBP", quality=_QUALITY, method=4, icc_profile=profile)
    return file.getvalue()
