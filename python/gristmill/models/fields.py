"""Columns that engine and Django both read and write, and how to look for them."""

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


#: Values of a subquery that SQLite is given one by one.
MOST_VALUES = 1_000


class IsAmong(models.Lookup):
    """
    Tells whether a value is among those of a subquery, which is carried out first and once.

    `Job` is a view over several tables. A database looks for a list of ids in the index of each of them, but joins a
    subquery to all of their rows.
    """

    lookup_name = "is_among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        """Leaves it a subquery."""
        return self._joined(compiler, "{} in {}")

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        """Makes the subquery an array."""
        return self._joined(compiler, "{} = any(array{})")

    def as_sqlite(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        """Asks the subquery now, and names its values unless they are very many: a subquery reads the whole view."""
        sql, params = compiler.compile(self.rhs)
        with connection.cursor() as cursor:
            cursor.execute(f"select * from {sql} limit {MOST_VALUES + 1}", params)
            found = [row[0] for row in cursor.fetchall()]
        if len(found) > MOST_VALUES:
            return self.as_sql(compiler, connection)
        left, left_params = compiler.compile(self.lhs)
        return f"{left} in ({', '.join(['%s'] * len(found))})", [*left_params, *found]

    def _joined(self, compiler: Any, template: str) -> Any:
        left, left_params = compiler.compile(self.lhs)
        right, right_params = compiler.compile(self.rhs)
        return template.format(left, right), [*left_params, *right_params]
