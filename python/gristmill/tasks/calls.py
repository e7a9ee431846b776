"""The arguments of one call, as `enqueue_many` takes them."""

from __future__ import annotations

from typing import Any, NamedTuple


class Call(NamedTuple):
    """The arguments of one call, made by `call(*args, **kwargs)`."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def call(*args: Any, **kwargs: Any) -> Call:
    """Notes the arguments of one call for `enqueue_many`, keywords included."""
    return Call(args, kwargs)
