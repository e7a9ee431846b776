"""
Carries the store's statements on Django's connections, for the conformance suite.

Prints the path of a socket. Each connection to it is a database connection of its own, in a thread of its own: its
first line names the database, every further one asks for something, and every line is answered by one. Ends when its
standard input does.
"""

from __future__ import annotations

import json
import os
import socketserver
import sys
import tempfile
import threading
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import DatabaseError
from django.db.utils import load_backend

settings.configure(USE_TZ=True, DATABASES={}, INSTALLED_APPS=[])
django.setup()

from gristmill.inprocess.borrowed_connection import BorrowedConnection  # noqa: E402

DEFAULTS: dict[str, Any] = {
    "ATOMIC_REQUESTS": False,
    "AUTOCOMMIT": True,
    "CONN_HEALTH_CHECKS": False,
    "CONN_MAX_AGE": None,
    "OPTIONS": {},
    "TIME_ZONE": None,
    "USER": "",
    "PASSWORD": "",
    "HOST": "",
    "PORT": "",
    "TEST": {},
}


def opened(asked: dict[str, Any]) -> Any:
    """Returns a connection of Django's to the database that is named."""
    if "sqlite" in asked:
        engine, given = "sqlite3", {"NAME": asked["sqlite"], "OPTIONS": {"timeout": 30}}
    else:
        engine = "postgresql"
        given = {name.upper(): value for name, value in asked.items() if value is not None}
    backend = load_backend(f"django.db.backends.{engine}")
    connection = backend.DatabaseWrapper({**DEFAULTS, "ENGINE": engine, **given}, "default")
    connection.ensure_connection()
    return connection


class Session(socketserver.StreamRequestHandler):
    """One connection."""

    def handle(self) -> None:
        """Answers line by line."""
        connection = opened(json.loads(self.rfile.readline()))
        self.answer([])
        borrowed = BorrowedConnection(connection)
        try:
            while line := self.rfile.readline():
                try:
                    self.answer(carried_out(borrowed, json.loads(line)))
                except DatabaseError as error:
                    self.answer({"refused": str(error)})
        finally:
            connection.close()

    def answer(self, what: Any) -> None:
        """Says it in one line."""
        self.wfile.write(json.dumps(what, default=plain).encode() + b"\n")


def carried_out(borrowed: BorrowedConnection, asked: Any) -> list[Any]:
    """Does what is asked; returns the rows."""
    if isinstance(asked, dict):
        return borrowed.run(asked["run"], asked["binds"])
    getattr(borrowed, {"begin": "begin", "commit": "commit", "rollback": "rollback"}[asked])()
    return []


def plain(value: Any) -> Any:
    """Returns what the driver made of a moment as the engine's text."""
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            value = value.astimezone(timezone.utc).replace(tzinfo=None)
        return value.isoformat(sep=" ", timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A thread for each connection; none keeps the process alive."""

    daemon_threads = True
    request_queue_size = 64


def main() -> None:
    """Serves until standard input ends."""
    with tempfile.TemporaryDirectory(prefix="gristmill-carrier-") as folder:
        path = str(Path(folder) / "socket")
        with Server(path, Session) as server:
            os.chmod(path, 0o600)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            print(path, flush=True)
            sys.stdin.read()
            server.shutdown()


if __name__ == "__main__":
    main()
