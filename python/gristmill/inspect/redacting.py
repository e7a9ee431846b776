"""
What of a job's arguments people may see: secrets are hidden by the names that they have.

A task says which of its arguments are secret (`redact=["card"]`, or True for all), and a key of any depth hides what is
behind it when it has a telling word in it (password, token, api_key, …). What cannot be told apart is hidden: all
positional arguments of a task whose code is not here, if some argument of it is secret; what is too deep to be seen.
Pure: who knows the task and the settings passes them in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter
from typing import Any

from gristmill.tasks import secret_words

#: What stands in place of a secret.
HIDDEN = "[redacted]"
#: Objects and lists in one another; what lies deeper is hidden.
MOST_DEEP = 40

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


class Words:
    """Keys that tell of a secret."""

    def __init__(self, words: Iterable[str]) -> None:
        self.patterns = {parts for word in words if (parts := parts_of(word))}

    def tell(self, key: str) -> bool:
        """Tells whether a key has one of the words in it, as whole words; a plural counts too."""
        parts = parts_of(key)
        for first in range(len(parts)):
            for pattern in self.patterns:
                found = parts[first : first + len(pattern)]
                if found == pattern or (*found[:-1], found[-1].removesuffix("s")) == pattern:
                    return True
        return False


def parts_of(key: str) -> tuple[str, ...]:
    """Returns a key's words: of api_key, apiKey, API-Key and "API key" the same two."""
    return tuple(part.lower() for part in _PARTS.findall(key))


USUAL = Words(secret_words.USUAL)


@dataclass(frozen=True)
class Shown:
    """A call's arguments as people may see them; `by_name` has positional ones too where their names are known."""

    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    by_name: dict[str, Any] = field(default_factory=dict)
    # Something is hidden.
    is_redacted: bool = False


def shown(
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    parameters: Sequence[Parameter] | None = None,
    redact: Collection[str] | bool = (),
    words: Words = USUAL,
) -> Shown:
    """
    Returns arguments with what is secret hidden.

    `parameters` are those of the function without a context; None where it is not known. `redact` is True for all
    arguments, or names of some.
    """
    names = names_of(len(args), parameters)
    secret = frozenset() if isinstance(redact, bool) else frozenset(redact)
    rest = {each.name for each in parameters or () if each.kind is each.VAR_KEYWORD}

    def hides(name: str | None) -> bool:
        if redact is True or (name is None and secret):
            return True
        return name is not None and (name in secret or words.tell(name))

    positional = [HIDDEN if hides(name) else hidden_in(value, words) for name, value in zip(names, args, strict=True)]
    taken = {each.name for each in parameters or ()} - rest
    keyword = {
        name: HIDDEN if hides(name) or (rest & secret and name not in taken) else hidden_in(value, words)
        for name, value in kwargs.items()
    }
    by_name = {name: value for name, value in zip(names, positional, strict=True) if name is not None} | keyword
    return Shown(positional, keyword, by_name, (positional, keyword) != ([*args], {**kwargs}))


def revealed(args: Sequence[Any], kwargs: Mapping[str, Any], parameters: Sequence[Parameter] | None = None) -> Shown:
    """Returns arguments as they are."""
    names = names_of(len(args), parameters)
    return Shown([*args], {**kwargs}, {n: v for n, v in zip(names, args, strict=True) if n is not None} | {**kwargs})


def names_of(count: int, parameters: Sequence[Parameter] | None) -> list[str | None]:
    """Returns the names of so many positional arguments: those beyond the last one have that of `*args`, or none."""
    named: list[str | None] = []
    beyond: str | None = None
    for parameter in parameters or ():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            named.append(parameter.name)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            beyond = parameter.name
    return [*named[:count], *[beyond] * (count - len(named))]


def hidden_in(value: Any, words: Words = USUAL, depth: int = 0) -> Any:
    """Returns a value of JSON with what is behind telling keys hidden."""
    if not isinstance(value, (dict, list)):
        return value
    if depth >= MOST_DEEP:
        return HIDDEN
    if isinstance(value, list):
        return [hidden_in(item, words, depth + 1) for item in value]
    return {key: HIDDEN if words.tell(str(key)) else hidden_in(item, words, depth + 1) for key, item in value.items()}
