"""Reads where jobs are written, whatever a router says of reads: a replica that lags tells of jobs that have moved."""

from __future__ import annotations

from typing import TypeVar

from django.db import models, router

Row = TypeVar("Row", bound=models.Model)


class PrimaryQuerySet(models.QuerySet[Row]):
    """Reads from the database that the router writes to; `using()` names another."""

    @property
    def db(self) -> str:
        """The alias of the database that is asked."""
        named: str | None = vars(self)["_db"]
        return named or router.db_for_write(self.model, **vars(self)["_hints"])
