"""Work on pictures, without Django: develop one, shrink it, find its colours, put many on a sheet."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image, ImageDraw, ImageFont, ImageOps

PALETTE_COLOURS = 6
LARGEST = 1920
# The sheet, in pixels: a cell holds a picture of any shape, and its title below.
CELL_WIDTH, CELL_HEIGHT, TITLE_HEIGHT, GAP, MARGIN = 300, 225, 34, 24, 48
PAPER, MAT, INK = "#f6f4f0", "#e9e5de", "#23211e"


class UnreadablePicture(Exception):
    """A file is not a picture, or not all of one."""


def develop(source: BinaryIO) -> bytes:
    """A good JPEG of the picture, upright, its longer side 1,920 pixels at most."""
    with opened(source) as picture:
        return jpeg(fitting(picture, LARGEST), quality=92)


def shrink(source: BinaryIO, size: int) -> bytes:
    """A JPEG of the picture, upright, its longer side `size` pixels (never larger than it was)."""
    with opened(source) as picture:
        return jpeg(fitting(picture, size), quality=85)


def main_colours(source: BinaryIO) -> list[str]:
    """Its main colours as #rrggbb, the commonest first."""
    with opened(source) as picture:
        picture.thumbnail((200, 200))
        reduced = picture.quantize(PALETTE_COLOURS, method=Image.Quantize.FASTOCTREE)
        palette = reduced.getpalette() or []
        shares = sorted(reduced.getcolors() or [], reverse=True)
        return ["#{:02x}{:02x}{:02x}".format(*palette[3 * index : 3 * index + 3]) for _, index in shares]


def contact_sheet(titled: Iterable[tuple[str, BinaryIO]], count: int) -> bytes:
    """A JPEG with `count` pictures side by side, each above its title; one of them is open at a time."""
    square = max(1, math.ceil(math.sqrt(count)))
    # A little wider than square, where that leaves fewer cells empty.
    columns = min((square, square + 1), key=lambda wide: -count % wide)
    rows = max(1, math.ceil(count / columns))
    sheet = Image.new(
        "RGB",
        (
            2 * MARGIN + columns * CELL_WIDTH + (columns - 1) * GAP,
            2 * MARGIN + rows * (CELL_HEIGHT + TITLE_HEIGHT) + (rows - 1) * GAP,
        ),
        PAPER,
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for number, (title, source) in enumerate(titled):
        row, column = divmod(number, columns)
        left = MARGIN + column * (CELL_WIDTH + GAP)
        top = MARGIN + row * (CELL_HEIGHT + TITLE_HEIGHT + GAP)
        draw.rectangle((left, top, left + CELL_WIDTH - 1, top + CELL_HEIGHT - 1), MAT)
        with opened(source) as picture:
            small = ImageOps.contain(picture, (CELL_WIDTH, CELL_HEIGHT), Image.Resampling.LANCZOS)
        sheet.paste(small, (left + (CELL_WIDTH - small.width) // 2, top + (CELL_HEIGHT - small.height) // 2))
        draw.text((left, top + CELL_HEIGHT + 10), cut(title, draw, font), INK, font)
    return jpeg(sheet, quality=88)


def cut(title: str, draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """As much of a title as fits below its picture."""
    if draw.textlength(title, font) <= CELL_WIDTH:
        return title
    while title and draw.textlength(title + "…", font) > CELL_WIDTH:
        title = title[:-1].rstrip()
    return title + "…"


def fitting(picture: Image.Image, size: int) -> Image.Image:
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    return picture


def jpeg(picture: Image.Image, quality: int) -> bytes:
    output = io.BytesIO()
    picture.save(output, "JPEG", quality=quality, optimize=True)
    return output.getvalue()


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
