"""What an operator sees fail, succeed and take its time."""

import os
from pathlib import Path

from gristmill import task


@task
def read_letter(name: str) -> str:
    """Reads a letter, if somebody has put it there."""
    return (Path(os.environ["BROWSER_LETTERS"]) / f"{name}.txt").read_text()


@task
def say(text: str) -> None:
    """Prints a text and fails with it."""
    print(text)
    raise ValueError(text)


@task(schedulable=True)
def answer(text: str) -> str:
    """Gives back what it was given."""
    return text
