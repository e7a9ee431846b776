"""Says so where a statement fails because the queue's tables are not there yet."""

from __future__ import annotations

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.exceptions import TablesMissing


def raise_if_tables_missing(error: DatabaseError, connection: BaseDatabaseWrapper) -> None:
    """Raises TablesMissing when that is what the database's error means."""
    text = str(error)
    if "gristmill_" in text and ("no such table" in text or "does not exist" in text):
        raise TablesMissing(
            f"the gristmill tables are missing on database '{connection.alias}'; run manage.py migrate"
            + ("" if connection.alias == "default" else f" --database {connection.alias}")
        ) from error
