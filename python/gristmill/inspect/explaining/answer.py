"""What an explanation is: a state, a sentence, and the reasons, each with what a program wants to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class Reason:
    """
    One thing that keeps a job where it is, or that there is to know about it.

    `kind` is one of "held", "preconditions", "stranded", "root", "evaluating", "unresolved", "gateless", "date",
    "paused", "no worker", "silent", "unknown task", "unknown queue", "other backend", "unroutable", "other queues",
    "line", "running", "cancel asked", "ended", "dependents", "propagations". `sentence` reads alone. `details` holds
    the facts: numbers, texts, moments, lists.
    """

    kind: str
    sentence: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """Why a job does not run, or what became of it. The first reason is the one that its state shows."""

    id: str
    task_name: str
    backend: str
    queue_name: str
    state: str
    headline: str
    reasons: list[Reason]

    def __str__(self) -> str:
        return self.headline

    def __contains__(self, kind: object) -> bool:
        return any(reason.kind == kind for reason in self.reasons)

    def __getitem__(self, kind: str) -> Reason:
        for reason in self.reasons:
            if reason.kind == kind:
                return reason
        raise KeyError(kind)

    def as_dict(self) -> dict[str, Any]:
        """Returns it in JSON's types; moments are ISO 8601."""
        return {
            "id": self.id,
            "task_name": self.task_name,
            "backend": self.backend,
            "queue_name": self.queue_name,
            "state": self.state,
            "headline": self.headline,
            "reasons": [
                {"kind": one.kind, "sentence": one.sentence, "details": plain(one.details)} for one in self.reasons
            ],
        }


def plain(value: Any) -> Any:
    """Returns a value in JSON's types."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.hex if isinstance(value, UUID) else value
