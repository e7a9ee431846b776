"""
Describes exceptions for the record: bounded, storable, and never failing itself.

A handler can raise what cannot be printed, what is 50 MB long, or what went through a hundred thousand frames. None
of that may keep its failure from being written down.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

# Bytes of UTF-8. The end of a traceback says more than its beginning.
MAX_TRACEBACK = 64 * 1024
HEAD = 16 * 1024
MAX_CLASS_PATH = 512
# A chain of causes or a stack beyond these is shown by its ends.
MAX_CAUSES = 30
MAX_FRAMES = 2000
FRAMES_AT_EACH_END = 100


def describe(error: BaseException) -> tuple[str, str]:
    """Returns the path of an exception's class and its traceback as Django formats it, both fit for any database."""
    return class_path(error), bounded(formatted(error))


def class_path(error: BaseException) -> str:
    """Returns `module.qualname` of an exception's class."""
    return path_of(type(error))[:MAX_CLASS_PATH]


def path_of(kind: type) -> str:
    """Returns `module.qualname` of a class, whatever it says of itself."""
    try:
        return storable(f"{kind.__module__}.{kind.__qualname__}")
    except Exception:
        return "builtins.BaseException"


def formatted(error: BaseException) -> str:
    """Returns the traceback with its causes, or what can be told of it."""
    try:
        with shortened(error):
            if count_frames(error) <= MAX_FRAMES:
                return "".join(traceback.format_exception(type(error), error, error.__traceback__))
            head = traceback.format_exception(type(error), error, error.__traceback__, limit=FRAMES_AT_EACH_END)
            tail = traceback.format_exception(type(error), error, error.__traceback__, limit=-FRAMES_AT_EACH_END)
            return "".join([*head[:-1], "  […]\n", *tail[1:]])
    except BaseException as problem:
        return f"{class_path(error)} (its traceback cannot be formatted: {class_path(problem)})\n"


@contextmanager
def shortened(error: BaseException) -> Iterator[None]:
    """Cuts an endless chain of causes while it is being formatted."""
    links = [link for link, _ in zip(causes(error), range(MAX_CAUSES + 1), strict=False)]
    if len(links) <= MAX_CAUSES:
        yield
        return
    last = links[-1]
    cause, context, suppressed = last.__cause__, last.__context__, last.__suppress_context__
    try:
        last.__cause__ = last.__context__ = None
        yield
    finally:
        last.__cause__, last.__context__ = cause, context
        # Assigning a cause suppresses the context.
        last.__suppress_context__ = suppressed


def causes(error: BaseException) -> Iterator[BaseException]:
    """Walks from an exception to what it was raised from or while handling."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def count_frames(error: BaseException) -> int:
    """Counts frames along the chain of causes, no further than matters."""
    count = 0
    for link in causes(error):
        step = link.__traceback__
        while step is not None and count <= MAX_FRAMES:
            count += 1
            step = step.tb_next
    return count


def bounded(text: str) -> str:
    """Returns storable text of at most `MAX_TRACEBACK` bytes: its head and its tail."""
    try:
        if len(text) > 2 * MAX_TRACEBACK:
            text = text[:MAX_TRACEBACK] + text[-MAX_TRACEBACK:]
            cut = True
        else:
            cut = False
        encoded = storable(text).encode()
        if len(encoded) <= MAX_TRACEBACK and not cut:
            return encoded.decode()
        gap = b"\n[\xe2\x80\xa6]\n"
        tail = encoded[len(gap) + HEAD - MAX_TRACEBACK :]
        return (encoded[:HEAD] + gap + tail).decode(errors="ignore")
    except MemoryError:
        return "(no memory for the traceback)\n"


def storable(text: str) -> str:
    """Escapes what a database or UTF-8 refuses: NUL and lone surrogates."""
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    return text.encode(errors="backslashreplace").decode()
