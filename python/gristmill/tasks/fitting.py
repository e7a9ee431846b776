"""
Whether a call fits its task's function, and its arguments are JSON.

That is asked where the call is made, so that a wrong one never becomes a job. What has been changed since is found
where the job is run; see `gristmill.runner.attempt`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Any

from gristmill.values.json_rule import MAX_BYTES, encode

if TYPE_CHECKING:
    from gristmill.compat import AnyTask

# Ways of calling a task that are remembered as fitting.
MAX_SHAPES = 64
# Characters of a signature that an error shows.
MAX_SHOWN = 200
# Where the errors of `encode` say what is wrong.
_PLACE = re.compile(r'[^ ]*?(?:args\[(\d+)\]|kwargs\.(\w+)|kwargs\["(.*?)"\])')


class Fit:
    """What calls of one task have to be like; it is remembered with the task."""

    __slots__ = ("path", "shapes", "signature", "takes_context")

    def __init__(self, task: AnyTask) -> None:
        self.path = task.module_path
        # Whoever has the code of a remote task says what fits.
        self.signature = None if getattr(task, "is_remote", False) else signature_of(task.func)
        self.takes_context = task.takes_context
        # How it has been called: the number of positional arguments, and the names of the others.
        self.shapes: set[Any] = set()

    def refuse_misfit(self, args: Sequence[Any], kwargs: Mapping[str, Any], where: str = "") -> None:
        """Raises TypeError, with `where` first, for arguments that the function does not take."""
        if self.signature is None:
            return
        shape = (len(args), *kwargs) if kwargs else len(args)
        if shape in self.shapes:
            return
        try:
            self.signature.bind(*([None] if self.takes_context else []), *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{where}{self.path}{self._shown()}: {error}") from None
        if len(self.shapes) < MAX_SHAPES:
            self.shapes.add(shape)

    def encoded(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], *, max_bytes: int = MAX_BYTES, where: str = ""
    ) -> tuple[str, str]:
        """
        Returns the arguments of a call that fits as JSON texts.

        Raises TypeError or ValueError that begins with the path of what is wrong, and names the argument and the task.
        """
        try:
            args_json = encode(args, where=f"{where}args", max_bytes=max_bytes)
            return args_json, encode(kwargs, where=f"{where}kwargs", max_bytes=max_bytes) if kwargs else "{}"
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{error} ({self._told(str(error))} of {self.path})") from None

    def _parameters(self) -> list[Parameter]:
        parameters = [] if self.signature is None else list(self.signature.parameters.values())
        return parameters[1:] if self.takes_context else parameters

    def _shown(self) -> str:
        text = str(Signature(self._parameters()))
        return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"

    def _told(self, error: str) -> str:
        """Names the argument that an error of `encode` is about."""
        place = _PLACE.match(error)
        if place is None:
            return "the arguments"
        number, *names = place.groups()
        name = next(filter(None, names), None)
        if number is not None:
            taken = [each for each in self._parameters() if each.kind not in (each.KEYWORD_ONLY, each.VAR_KEYWORD)]
            name = taken[min(int(number), len(taken) - 1)].name if taken else None
        return "an argument" if name is None else f"argument {name!r}"


def parameters_of(task: AnyTask) -> tuple[Parameter, ...] | None:
    """Returns what a task's function takes, without the context; None where it is elsewhere or cannot be known."""
    signature = None if getattr(task, "is_remote", False) else signature_of(task.func)
    if signature is None:
        return None
    return tuple(signature.parameters.values())[1 if task.takes_context else 0 :]


def not_taken(task: AnyTask, names: Sequence[str]) -> str | None:
    """Returns the first of these names that is no argument of a task; None where all are, or could be."""
    parameters = parameters_of(task)
    if parameters is None or any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    taken = {each.name for each in parameters}
    return next((name for name in names if name not in taken), None)


def signature_of(function: Callable[..., Any]) -> Signature | None:
    """Returns how a function is really called: a decorator may add arguments to what it wraps."""
    if hasattr(function, "__signature__"):
        return None
    try:
        return signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return None


__all__ = ["Fit", "not_taken", "parameters_of", "signature_of"]
