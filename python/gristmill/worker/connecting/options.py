"""Reads libpq's `options`, with which the server's sessions begin."""

from __future__ import annotations

from django.core.management.base import CommandError


def session_settings(alias: str, options: str) -> list[tuple[str, str]]:
    """Returns the settings among them: `-c name=value` or `--name=value`. Raises CommandError for anything else."""
    settings, words = [], iter(words_of(options))
    for word in words:
        if word == "-c":
            word = next(words, "")
        elif word.startswith(("-c", "--")):
            word = word[2:]
        else:
            word = ""
        name, equals, value = word.partition("=")
        if not equals:
            raise CommandError(
                f"workers understand of OPTIONS['options'] of database '{alias}' settings alone "
                f"(-c name=value), and {options!r} has more"
            )
        settings.append((name.replace("-", "_"), value))
    return settings


def words_of(options: str) -> list[str]:
    """Splits as the server does: at white space that no backslash stands before."""
    words: list[str] = []
    inside, escaped = False, False
    for letter in options:
        if not escaped and letter.isspace():
            inside = False
            continue
        if not inside:
            words.append("")
            inside = True
        if not escaped and letter == "\\":
            escaped = True
            continue
        words[-1] += letter
        escaped = False
    return words
