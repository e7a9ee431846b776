"""Text for terminals: aligned tables, short ages, nothing that could move a cursor."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = ()) -> list[str]:
    """Returns the lines of a table, indented by two; columns named in `right` hold numbers."""
    texts = [[printable(str(cell)) for cell in row] for row in [head, *rows]]
    widths = [max(width(row[column]) for row in texts) for column in range(len(head))]
    lines = []
    for row in texts:
        cells = []
        for name, cell, room in zip(head, row, widths, strict=True):
            padding = " " * (room - width(cell))
            cells.append(padding + cell if name in right else cell + padding)
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines


def age(seconds: float) -> str:
    """Says how long ago or how long: 4 s, 3 min, 5 h, 2 d."""
    if seconds < 1:
        return "under 1 s"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def printable(text: str, limit: int = 100) -> str:
    """Escapes what is no character to be seen (control, direction and line marks) and cuts what is too long."""
    text = "".join(
        character if character == " " or character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[: limit + 1]
    )
    return text if len(text) <= limit else text[: limit - 1] + "…"


def width(text: str) -> int:
    """Returns how many columns a text takes on a terminal."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
