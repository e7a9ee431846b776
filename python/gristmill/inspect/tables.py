"""Text for terminals: aligned tables, short ages, nothing that could move a cursor."""

from __future__ import annotations

import shutil
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence

from django.core.management.base import OutputWrapper

#: A column is not cut below this width.
LEAST = 12
#: Columns whose cells are known by their ends, as a task's name by its function.
KEEP_END = frozenset({"TASK"})


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Iterable[str] = (),
    cut: Sequence[str] = (),
    room: int | None = None,
) -> list[str]:
    """
    Returns the lines of a table, indented by two; columns named in `right` hold numbers.

    Where it is wider than `room` columns, those named in `cut` give way, the first one first. What still does not
    fit is told row by row, each cell on a line of its own.
    """
    texts = [[printable(str(cell)) for cell in row] for row in [head, *rows]]
    widths = [max(width(row[column]) for row in texts) for column in range(len(head))]
    over = 0 if room is None else sum(widths) + 2 * len(widths) - room
    for name in cut:
        column = head.index(name)
        taken = max(0, min(over, widths[column] - max(LEAST, width(name))))
        widths[column] -= taken
        over -= taken
    if room is not None and over > 0:
        return records(texts, room, frozenset(right))
    lines = []
    for row in texts:
        cells = []
        for name, cell, space in zip(head, row, widths, strict=True):
            cell = shortened(cell, space, keep_end=name in KEEP_END)
            padding = " " * (space - width(cell))
            cells.append(padding + cell if name in right else cell + padding)
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines


def records(texts: Sequence[Sequence[str]], room: int, numbers: frozenset[str]) -> list[str]:
    """Returns a table's rows one below the other, for terminals where they do not fit side by side."""
    head, *rows = texts
    names = max(width(name) for name in head)
    lines: list[str] = []
    for row in rows:
        if lines:
            lines.append("")
        for name, cell in zip(head, row, strict=True):
            if not cell or (cell == "0" and name in numbers):
                continue
            # Whole words: an id is of use only in one piece, however narrow the terminal.
            parts = textwrap.wrap(cell, max(room - names - 4, LEAST), break_long_words=False, break_on_hyphens=False)
            lines.append(f"  {name}{' ' * (names - width(name))}  {parts[0]}")
            lines += (f"{' ' * (names + 4)}{part}" for part in parts[1:])
    return lines


def shortened(text: str, space: int, *, keep_end: bool = False) -> str:
    """Cuts a text that is wider than its space, and says so where it was cut."""
    if width(text) <= space:
        return text
    while text and width(text) > space - 1:
        text = text[1:] if keep_end else text[:-1]
    return "…" + text.lstrip() if keep_end else text.rstrip() + "…"


def room_of(stream: OutputWrapper) -> int | None:
    """Returns how many columns a terminal has; None for what is no terminal, where lines may be as long as they are."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def wrapped(text: str, room: int | None) -> list[str]:
    """Returns the lines of a sentence."""
    return [text] if room is None else textwrap.wrap(text, max(room, 20)) or [""]


def counted(number: int, more: bool = False, what: str = "job") -> str:
    """Says how many: 1 job, 1,200 jobs, 10,000+ jobs."""
    return f"{number:,}{'+' * more} {what}{'' if number == 1 and not more else 's'}"


def age(seconds: float) -> str:
    """Says how long ago or how long: 4 s, 3 min, 5 h, 2 d."""
    if seconds < 1:
        return "under 1 s"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def duration(seconds: float) -> str:
    """Says how long a run took, short ones in milliseconds: 40 ms, 4 s, 3 min."""
    return age(seconds) if seconds >= 1 else f"{seconds * 1000:.0f} ms"


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
