"""Reads in what a step printed which assertions failed, and in which tests: of cargo, the conformance suite, pytest."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import NamedTuple

# Of Rust; a test's thread has its name.
PANIC = re.compile(r"^\s*thread '([^']*)'(?: \(\d+\))? panicked at (crates/[^:\s]+):(\d+):\d+", re.MULTILINE)
# The same question over another connection is the same assertion.
ASKED_OVER = re.compile(r"^(?:hosted|python)::")
NAMELESS = re.compile(r"main|<unnamed>|tokio-.*")
BLOCK = re.compile(r"^\s*---- (\S+) stdout ----$", re.MULTILINE)
# Of pytest: a heading for each failure, and below it the places that the exception went through.
HEADING = re.compile(r"^_{3,} (?:ERROR at \w+ of )?([^\s_].*?) _{3,}$", re.MULTILINE)
PLACE = re.compile(r"^((?:python/)?tests/\S+\.py):(\d+):(?: |$)", re.MULTILINE)
SUMMARY = re.compile(r"^=+ (?:short test summary info|warnings summary|FAILURES|ERRORS|\d+ \w+.* in [\d.:]+.*) =+$")
# What is no answer to the question whether a test finds anything.
NOT_BUILT = re.compile(
    r"^error(?:\[E\d+\])?: (?!test failed|\d+ targets? failed)|error: could not compile|errors? during collection"
    r"|^ImportError while loading conftest|The Rust part did not build",
    re.MULTILINE,
)


class Finding(NamedTuple):
    """An assertion that failed, and the test in which it did: one of a helper is another claim in another test."""

    test: str
    place: str

    def __str__(self) -> str:
        return f"{self.test} ({self.place})" if self.test else self.place


def findings(output: str) -> set[Finding]:
    """Every failed assertion."""
    output = re.sub(r"\x1b\[[0-9;]*m", "", output)
    return rust(output) | python(output)


def is_built(output: str) -> bool:
    """Whether the step came to ask its tests."""
    return NOT_BUILT.search(output) is None


def rust(output: str) -> set[Finding]:
    """Where tests have panicked."""
    blocks = [(found.start(), found[1]) for found in BLOCK.finditer(output)]
    found = set()
    for panic in PANIC.finditer(output):
        test, file, line = panic.groups()
        if NAMELESS.fullmatch(test):
            before = [name for start, name in blocks if start < panic.start()]
            test = before[-1] if before else ""
        found.add(Finding(ASKED_OVER.sub("", test), f"{file}:{line}"))
    return found


def python(output: str) -> set[Finding]:
    """The last place in a test's own code of each failure: below it is what it asked."""
    found = set()
    headings = [*HEADING.finditer(output)]
    for number, heading in enumerate(headings, start=1):
        end = headings[number].start() if number < len(headings) else len(output)
        lines = output[heading.end() : end].splitlines()
        own = takewhile(lambda line: not SUMMARY.match(line), lines)
        places = PLACE.findall("\n".join(own))
        if places:
            file, line = places[-1]
            # The same question about another value is the same assertion.
            found.add(Finding(re.sub(r"\[.*", "", heading[1]), f"{file}:{line}"))
    return found
