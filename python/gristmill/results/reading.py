"""Reads one job by its id, with the statement and the conversions that Django's ORM makes, made once a connection."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    from gristmill.models import Job


class Statement(NamedTuple):
    """What the ORM makes of a look at one job; making it takes longer than asking for it."""

    sql: str
    names: list[str]
    # Functions that turn what the driver gives into what the model has, by position.
    converters: list[tuple[int, list[Any], Any]]


_statements: weakref.WeakKeyDictionary[BaseDatabaseWrapper, Statement] = weakref.WeakKeyDictionary()


def read_job(connection: BaseDatabaseWrapper, job_id: UUID) -> Job | None:
    """Returns the job of that id, or None; one query."""
    from gristmill.models import Job

    statement = _statements.get(connection)
    if statement is None:
        statement = _statements[connection] = _statement(connection, job_id)
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, [Job._meta.pk.get_db_prep_value(job_id, connection)])
        rows = cursor.fetchall()
    if not rows:
        return None
    values = list(rows[0])
    for position, functions, expression in statement.converters:
        for function in functions:
            values[position] = function(values[position], expression, connection)
    return Job.from_db(connection.alias, statement.names, values)


def _statement(connection: BaseDatabaseWrapper, job_id: UUID) -> Statement:
    from gristmill.models import Job

    compiler = Job.objects.using(connection.alias).filter(pk=job_id).query.get_compiler(connection=connection)
    sql, _ = compiler.as_sql()
    columns = [column for column, _, _ in compiler.select]
    converters = compiler.get_converters(columns).items()
    return Statement(
        sql,
        [column.target.attname for column in columns],
        [(position, functions, expression) for position, (functions, expression) in converters],
    )
