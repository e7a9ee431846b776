"""Unique jobs: which of them count as the same, and for how long."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from gristmill.values.bounds import seconds
from gristmill.values.json_rule import encode

if TYPE_CHECKING:
    from gristmill.tasks.calls import Call

Until: TypeAlias = Literal["started", "each_start", "finished", "pruned"]
OnConflict: TypeAlias = Literal["keep", "replace", "merge"]
MergeFunction: TypeAlias = "Callable[[list[Any], dict[str, Any], list[Any], dict[str, Any]], Call]"

UNTIL = ("started", "each_start", "finished", "pruned")
ON_CONFLICT = ("keep", "replace", "merge")


@dataclass(frozen=True)
class Unique:
    """
    At most one job of a task for each key, as a task's option `unique`.

    by: None for all arguments, the names of those that count, or a function of the call's arguments that returns
    JSON. until: for how long a job keeps its key from others: until it has "started", has "finished", or is "pruned";
    with "each_start" whenever it waits, so that one that waits for its retry is met too. period: no longer than this
    after it was enqueued (seconds or timedelta). on_conflict: what an enqueue does that meets a job with its key.
    "keep" leaves it, but an earlier run_after moves it earlier; "replace" gives a job that has not started the new
    arguments, options, priority and run_after; "merge" does so with the arguments that
    `merge(old_args, old_kwargs, new_args, new_kwargs)` returns as `gristmill.call(...)`. A job that has started is
    left as it is, except that "each_start" moves it earlier. Raises ValueError for what makes no sense.
    """

    by: str | Sequence[str] | Callable[..., Any] | None = None
    until: Until = "started"
    period: float | timedelta | None = None
    on_conflict: OnConflict = "keep"
    merge: MergeFunction | None = None

    def __post_init__(self) -> None:
        by = self.by
        if isinstance(by, str):
            by = (by,)
        elif isinstance(by, (list, tuple)):
            by = tuple(by)
        if by is not None and not callable(by):
            if not isinstance(by, tuple) or not by or not all(isinstance(name, str) and name for name in by):
                raise ValueError(f"Unique: by must be names of arguments, a function, or None for all; got {self.by!r}")
            object.__setattr__(self, "by", by)
        for name, known in (("until", UNTIL), ("on_conflict", ON_CONFLICT)):
            if getattr(self, name) not in known:
                words = ", ".join(map(repr, known))
                raise ValueError(f"Unique: {name} must be one of {words}; got {getattr(self, name)!r}")
        if self.period is not None:
            try:
                object.__setattr__(self, "period", seconds(self.period, least=0.001))
            except ValueError as error:
                raise ValueError(f"Unique: period {error}, or None for no bound; got {self.period!r}") from None
        if (self.on_conflict == "merge") != callable(self.merge):
            raise ValueError('Unique: on_conflict="merge" and a function merge=… go together')

    @property
    def has_functions(self) -> bool:
        """Tells whether a function is part of it, which only the task itself can have."""
        return callable(self.by) or self.merge is not None


class KeyMaker:
    """Makes the keys of one task's jobs."""

    def __init__(self, task: Any, unique: Unique) -> None:
        """Raises ValueError where `by` names what the task's function does not take."""
        self.name: str = task.task_name
        self.by = unique.by
        self.signature: inspect.Signature | None = None
        if getattr(task, "is_remote", False):
            return
        parameters = list(inspect.signature(task.func).parameters.values())
        if task.takes_context:
            parameters = parameters[1:]
        self.signature = inspect.Signature(parameters)
        if isinstance(self.by, tuple) and not any(p.kind is p.VAR_KEYWORD for p in parameters):
            for name in self.by:
                if name not in self.signature.parameters:
                    raise ValueError(f"names the argument {name!r}, which the function does not take")
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty and _is_json(p.default)}

    def key(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """
        Returns the key of a call, 64 hex digits.

        Raises TypeError for arguments that the function does not take, and what `encode` raises for a key that is not
        JSON.
        """
        chosen = self._chosen(args, kwargs)
        # Read and written again with its keys sorted: equal mappings make equal keys.
        canonical = json.dumps(
            json.loads(encode([self.name, chosen], where="unique key")),
            ensure_ascii=False,
            separators=(",", ":"),
            sort_keys=True,
        )
        return hashlib.sha256(canonical.encode()).hexdigest()

    def _chosen(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if callable(self.by):
            return self.by(*args, **kwargs)
        arguments = self._bound(args, kwargs)
        if self.by is None:
            return arguments
        if not isinstance(arguments, dict):
            arguments = dict(kwargs)
        missing = [name for name in self.by if name not in arguments]
        if missing:
            raise TypeError(f"{self.name}: unique needs the argument {missing[0]!r}, which this call does not name")
        return {name: arguments[name] for name in self.by}

    def _bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Returns the arguments by name, defaults included; those of a remote task as they are given."""
        if self.signature is None:
            return [list(args), dict(kwargs)] if kwargs else list(args)
        try:
            given = self.signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{self.name}: unique needs arguments that fit the task's function: {error}") from None
        arguments = {**self.defaults, **given}
        for parameter in self.signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments.update(arguments.pop(parameter.name, {}))
        return arguments


def _is_json(value: Any) -> bool:
    try:
        encode(value, where="default")
    except (TypeError, ValueError):
        return False
    return True


__all__ = ["KeyMaker", "Unique"]
