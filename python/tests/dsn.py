"""Turns a DSN into an entry of DATABASES, and into a database that no other process of tests uses."""

import os
from urllib.parse import parse_qs, unquote, urlsplit

ON_POSTGRES = bool(os.environ.get("DATABASE_URL"))


def databases_entry(dsn: str) -> dict[str, object]:
    """Returns the DATABASES entry of a URL like postgres://user:password@host:port/name?host=/run/postgresql."""
    parts = urlsplit(dsn)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "postgres",
        "USER": unquote(parts.username or "") or query.get("user", "postgres"),
        "PASSWORD": unquote(parts.password or "") or query.get("password", ""),
        "HOST": query.get("host") or parts.hostname or "",
        "PORT": str(parts.port or query.get("port", "")),
    }


def settings_of_runners() -> str:
    """Returns what a runner's settings say of the database under test, which is emptied for them and used by no other
    process of tests; nothing on SQLite, which they have already."""
    if not ON_POSTGRES:
        return ""
    import psycopg

    name = f"test_gristmill_runners_{os.environ.get('TEST_PAIR', 'alone')}"
    name += f"_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name}")
    entry = {**databases_entry(os.environ["DATABASE_URL"]), "NAME": name}
    return f"DATABASES['default'] = {entry!r}\n"
