"""
The transaction of a transactional job: how it begins and how it is known again.

On PostgreSQL it begins at READ COMMITTED, whatever the database's default: the job's row, which its end deletes, may be
touched by others while the handler runs. Nothing before the handler takes a snapshot or makes a savepoint, so a handler
that needs more may say SET TRANSACTION ISOLATION LEVEL first.
"""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.database import statements
from gristmill.database.dialects import about

# PostgreSQL's states of a connection that waits for a statement.
IDLE, IN_TRANSACTION, IN_ERROR = 0, 2, 3
ANSWERED = (IDLE, IN_TRANSACTION, IN_ERROR)

SAVEPOINT = "gristmill_attempt"
SETTING = "gristmill.attempt"
# A setting that is local goes with its transaction; one that is not, beneath it, stays if that commits.
BEGIN = (
    "set transaction isolation level read committed; set {setting} = 'kept {name}'; set local {setting} = 'open {name}'"
)
LOOK = f"select current_setting('{SETTING}', true)"


class Mark:
    """What only the transaction has that it was set in."""

    def __init__(self, connection: BaseDatabaseWrapper, name: str) -> None:
        """Sets it, as the first thing in a transaction; `name` is that of the attempt."""
        self.connection, self.name = connection, name
        if not about(connection).has_settings:
            statements.run(connection, [f"savepoint {SAVEPOINT}"], [])
            return
        # One message of several statements, which takes no binds.
        with connection.wrap_database_errors, connection.connection.cursor() as cursor:
            cursor.execute(BEGIN.format(setting=SETTING, name=name))

    def is_gone(self) -> bool:
        """Tells, once the handler has returned, whether another transaction is open, or none."""
        if not about(self.connection).has_settings:
            return self._has_no_savepoint("release savepoint")
        return status(self.connection) == IDLE or self._look() != f"open {self.name}"

    def was_ended(self) -> bool:
        """Tells, before all is undone, whether its transaction has been ended already: something may be kept."""
        if not about(self.connection).has_settings:
            return self._has_no_savepoint("rollback to savepoint", quietly=True)
        try:
            if status(self.connection) != IN_ERROR:
                return self.is_gone()
            with self.connection.wrap_database_errors:
                # Nothing can be asked before that, and nothing is lost by it.
                self.connection.connection.rollback()
            return bool(self._look() == f"kept {self.name}")
        except DatabaseError:
            # The connection is lost, and what was open on it.
            return False

    def _look(self) -> Any:
        ((value,),) = statements.run(self.connection, [LOOK], [])
        return value

    def _has_no_savepoint(self, what: str, *, quietly: bool = False) -> bool:
        try:
            statements.run(self.connection, [f"{what} {SAVEPOINT}"], [])
        except DatabaseError as error:
            if "no such savepoint" in str(error):
                return True
            if not quietly:
                raise
        return False


def status(connection: BaseDatabaseWrapper) -> int:
    """Returns PostgreSQL's word for what a connection is doing."""
    return int(connection.connection.info.transaction_status)
