"""What people did here, as Django's admin keeps it: one entry for each thing that was asked for."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.http import HttpRequest


def write_down(request: HttpRequest, model: type[models.Model], subject: str, done: str) -> None:
    """Keeps who did what to what."""
    LogEntry.objects.create(
        user_id=str(request.user.pk),
        content_type=ContentType.objects.get_for_model(model, for_concrete_model=False),
        object_id=subject[:200],
        object_repr=subject[:200],
        action_flag=CHANGE,
        change_message=done,
    )


def actor(request: HttpRequest) -> str:
    """Returns who asks, as it is kept beside jobs."""
    user: Any = request.user
    return f"{user.get_username()}, in the admin"
