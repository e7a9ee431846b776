"""Work on pictures, without Django: shrink one, find its colours."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image, ImageOps

PALETTE_COLOURS = 6


class UnreadablePicture(Exception):
    """A file is not a picture, or not all of one."""


def shrink(source: BinaryIO, size: int) -> bytes:
    """A JPEG of the picture, upright, its longer side `size` pixels (never larger than it was)."""
    with opened(source) as picture:
        picture.thumbnail((size, size), Image.Resampling.LANCZOS)
        output = io.BytesIO()
        picture.save(output, "JPEG", quality=85, optimize=True)
        return output.getvalue()


def main_colours(source: BinaryIO) -> list[str]:
    """Its main colours as #rrggbb, the commonest first."""
    with opened(source) as picture:
        picture.thumbnail((200, 200))
        reduced = picture.quantize(PALETTE_COLOURS, method=Image.Quantize.FASTOCTREE)
        palette = reduced.getpalette() or []
        shares = sorted(reduced.getcolors() or [], reverse=True)
        return ["#{:02x}{:02x}{:02x}".format(*palette[3 * index : 3 * index + 3]) for _, index in shares]


@contextmanager
def opened(source: BinaryIO) -> Iterator[Image.Image]:
    """The whole picture in RGB, turned as its camera was held; UnreadablePicture in words when it cannot be read."""
    try:
        with Image.open(source) as picture:
            upright = ImageOps.exif_transpose(picture) or picture
            whole = upright.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        sentence = "this is not a picture that can be read" if "identify" in str(error) else str(error)
        raise UnreadablePicture(sentence) from error
    yield whole
