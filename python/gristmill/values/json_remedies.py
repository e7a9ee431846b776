"""What to pass instead of what is not JSON: the end of a sentence that begins with where it was found."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

#: What is said where nothing better is known.
USUAL = "pass the text, numbers, lists and dicts that the task needs of it"


def said_of(value: Any) -> str:
    """Says that a value is not JSON, and what to pass instead."""
    kind = type(value)
    name = f"a lazy {_class_of(value).__name__}" if _is_lazy(value) else kind.__name__
    return f"{name} is not JSON (Unsupported type: {kind}); {_remedy(value)}"


def _remedy(value: Any) -> str:
    if _is_lazy(value):
        return _remedy_of_lazy(value)
    if _is_a("django.db.models.base", "Model", value):
        return "pass its primary key"
    if _is_a("django.db.models.query", "QuerySet", value):
        return "pass primary keys: list(….values_list('pk', flat=True))"
    if _is_a("django.http.request", "HttpRequest", value):
        return "pass what the task needs of it"
    if _is_a("django.core.files.base", "File", value):
        return "save it, and pass its name"
    if isinstance(value, Enum):
        return "pass its value"
    if isinstance(value, (date, time)):
        return "pass ….isoformat()"
    if isinstance(value, timedelta):
        return "pass ….total_seconds()"
    if isinstance(value, (Decimal, UUID, PurePath, complex)):
        return "pass str(…)"
    if isinstance(value, type) or callable(value):
        return "pass its name"
    if is_dataclass(value):
        return "pass dataclasses.asdict(…)"
    if callable(getattr(value, "tolist", None)):
        return "pass ….tolist()"
    return "pass list(…)" if isinstance(value, Iterable) else USUAL


def _remedy_of_lazy(value: Any) -> str:
    kind = _class_of(value)
    if issubclass(kind, (str, int, float, bytes)):
        return f"pass {kind.__name__}(…)"
    models = sys.modules.get("django.db.models.base")
    return "pass its primary key" if models is not None and issubclass(kind, models.Model) else "pass str(…)"


def _is_lazy(value: Any) -> bool:
    return _is_a("django.utils.functional", "Promise", value) or _is_a("django.utils.functional", "LazyObject", value)


def _class_of(value: Any) -> type:
    """Returns the class of what a lazy object stands for; of lazy text, which does not say, that of text."""
    return str if _is_a("django.utils.functional", "Promise", value) else value.__class__


def _is_a(module: str, name: str, value: Any) -> bool:
    """Tells whether a value is of a class that may not have been imported; what was not has no instances."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and issubclass(type(value), kind)
