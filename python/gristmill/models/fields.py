"""Columns that engine and Django both read and write."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.moments import from_utc, utc_text


class MomentField(models.DateTimeField):  # type: ignore[type-arg]
    """
    An instant of the queue's.

    On SQLite it is stored as UTC text whatever USE_TZ and the connection's TIME_ZONE say, because workers read and
    write it too; on PostgreSQL it is a plain timestamp with time zone.
    """

    def deconstruct(self) -> Any:
        """Names the field for migrations."""
        name, _, args, kwargs = super().deconstruct()
        return name, "gristmill.models.MomentField", args, kwargs

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        """Writes UTC text on SQLite."""
        if connection.vendor != "sqlite":
            return super().get_db_prep_value(value, connection, prepared)
        if not prepared:
            value = self.get_prep_value(value)
        return utc_text(value) if isinstance(value, datetime) else value

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        """Reads UTC text on SQLite; Django's own converter has taken it for the connection's time zone."""
        if connection.vendor != "sqlite" or value is None:
            return value
        if settings.USE_TZ and value.tzinfo is timezone.utc:
            return value
        return from_utc(value)


class JSONTextField(models.TextField):  # type: ignore[type-arg]
    """JSON kept as text that no database parses; read as what it means. Text given to a lookup is taken as it is."""

    def deconstruct(self) -> Any:
        """Names the field for migrations."""
        name, _, args, kwargs = super().deconstruct()
        return name, "gristmill.models.JSONTextField", args, kwargs

    def get_prep_value(self, value: Any) -> Any:
        """Writes JSON."""
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        """Reads JSON."""
        return None if value is None else json.loads(value)
