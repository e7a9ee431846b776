"""Columns that engine and Django both read and write, and how to look for them."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.database.dialects import about
from gristmill.values.moments import from_utc, utc_text


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

    def value_from_object(self, obj: models.Model) -> Any:
        """Gives text to serializers: what they write of a moment themselves ends with its milliseconds."""
        value = super().value_from_object(obj)
        return value.isoformat() if isinstance(value, datetime) else value

    def value_to_string(self, obj: models.Model) -> str:
        """Gives the same text."""
        return self.value_from_object(obj) or ""

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        """Writes UTC text on SQLite."""
        if not about(connection).keeps_text:
            return super().get_db_prep_value(value, connection, prepared)
        if not prepared:
            value = self.get_prep_value(value)
        return utc_text(value) if isinstance(value, datetime) else value

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        """Reads UTC text on SQLite; Django's own converter has taken it for the connection's time zone."""
        if value is None or not about(connection).keeps_text:
            return value
        if settings.USE_TZ and value.tzinfo is timezone.utc:
            return value
        return from_utc(value)


class Unreadable(str):
    """What was to be JSON and is not, as it is stored: one row must not keep the others from being read."""

    __slots__ = ()


def read_json(text: str) -> Any:
    """Returns what JSON means; text that is none as Unreadable."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return Unreadable(text)


def write_json(value: Any) -> str:
    """Returns JSON as text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def read_object(text: str | None) -> dict[str, Any]:
    """Returns a JSON object; what is none as an empty one."""
    found = None if text is None else read_json(text)
    return found if isinstance(found, dict) else {}


class JSONTextField(models.TextField):  # type: ignore[type-arg]
    """
    JSON kept as text that no database parses; read as what it means, and as Unreadable where it means nothing.

    Text given to a lookup is taken as it is.
    """

    def deconstruct(self) -> Any:
        """Names the field for migrations."""
        name, _, args, kwargs = super().deconstruct()
        return name, "gristmill.models.JSONTextField", args, kwargs

    def get_prep_value(self, value: Any) -> Any:
        """Writes JSON."""
        return value if value is None or isinstance(value, str) else write_json(value)

    def to_python(self, value: Any) -> Any:
        """Takes what a serializer wrote: text as it is, and numbers, which it writes as such."""
        return self.get_prep_value(value)

    def value_to_string(self, obj: models.Model) -> str:
        """Gives JSON to serializers."""
        value = self.value_from_object(obj)
        return value if isinstance(value, Unreadable) else write_json(value)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        """Reads JSON."""
        return None if value is None else read_json(value)


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
