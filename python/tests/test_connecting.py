"""How the engine is told to open the project's database: as libpq does, or not at all."""

import os
from pathlib import Path

import pytest
from django.core.management.base import CommandError
from django.db import connection, connections
from django.db.backends.sqlite3 import base as sqlite
from django.test import override_settings

from gristmill.database.schema import is_in_memory
from gristmill.worker.connecting import settings as connecting
from gristmill.worker.connecting.hosts import listed
from gristmill.worker.connecting.keywords import PASSED_ON, REFUSED, WITHOUT_MEANING, cannot
from gristmill.worker.connecting.options import session_settings, words_of
from gristmill.worker.connecting.pass_file import password_for
from gristmill.worker.connecting.tls import tls_of

pytestmark = pytest.mark.django_db


@override_settings(DATABASE_ROUTERS=[])
def test_a_database_in_memory_is_refused(monkeypatch):
    if connection.vendor != "sqlite":
        monkeypatch.setattr(connection, "vendor", "sqlite")
    monkeypatch.setattr(type(connections["default"]), "is_in_memory_db", lambda self: True, raising=False)

    assert is_in_memory(connection)
    with pytest.raises(CommandError, match="is in memory, where no worker can reach it"):
        connecting.database_settings(connection)


def test_the_database_is_the_one_that_django_uses():
    found = connecting.database_settings(connection)

    if connection.vendor == "sqlite":
        assert found == {"engine": "sqlite", "path": str(Path(connection.settings_dict["NAME"]).absolute())}
    else:
        (host,) = found["hosts"]
        assert (found["engine"], found["name"]) == ("postgres", connection.settings_dict["NAME"])
        assert isinstance(host["port"], int)
        assert host["host"]
        assert found["user"]
        assert found["whereabouts"]["database"] == found["name"]
        assert found["whereabouts"]["schema"] == "public"


@pytest.mark.parametrize(
    ("asked", "given"), [("normal", "normal"), ("full", "full"), ("extra", "full"), ("off", "normal"), (None, None)]
)
def test_what_a_commit_on_sqlite_waits_for_is_the_projects_to_say(tmp_path, asked, given):
    options = {"init_command": f"PRAGMA synchronous = {asked}"} if asked else {}
    settings = {**connection.settings_dict, "NAME": str(tmp_path / "db.sqlite3"), "OPTIONS": options}
    fresh = sqlite.DatabaseWrapper(settings, alias="default")
    try:
        assert connecting.database_settings(fresh).get("synchronous") == given
    finally:
        fresh.close()


@pytest.mark.only_on_postgres
def test_what_libpq_reads_in_the_environment_reaches_the_engine(monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c search_path=public,app")
    monkeypatch.setenv("PGAPPNAME", "shop")
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "7")
    fresh = connections.create_connection(connection.alias)
    fresh.settings_dict = {**connection.settings_dict}
    try:
        found = connecting.database_settings(fresh)
    finally:
        fresh.close()

    assert found["parameters"] == [("search_path", "public,app")]
    assert (found["application_name"], found["connect_timeout"]) == ("shop", 7)


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("keyword", [*sorted(REFUSED), "of_tomorrow"])
def test_what_the_engine_cannot_do_is_refused_by_name(monkeypatch, keyword):
    given = connecting.parameters
    monkeypatch.setattr(connecting, "parameters", lambda connection: {**given(connection), keyword: "so"})

    with pytest.raises(CommandError, match=f"workers cannot do as '{keyword}' says \\('so', in OPTIONS"):
        connecting.database_settings(connection)


def test_every_keyword_is_of_one_kind():
    assert not PASSED_ON & WITHOUT_MEANING
    assert cannot({name: "x" for name in PASSED_ON | WITHOUT_MEANING if name not in REFUSED}) is None
    assert cannot({"target_session_attrs": "primary", "gssencmode": "prefer"}) is None
    assert cannot({"user": "ann", "target_session_attrs": "standby"}) == "target_session_attrs"


def test_options_are_read_as_the_server_reads_them():
    assert words_of("  -c a=b\\ c  --d=e\\\\") == ["-c", "a=b c", "--d=e\\"]
    said = session_settings("default", "-c search_path=app,public --work-mem=5MB -cgeqo=off")
    assert said == [("search_path", "app,public"), ("work_mem", "5MB"), ("geqo", "off")]
    for options in ("-F", "-c search_path", "-c a=b -e"):
        with pytest.raises(CommandError, match="settings alone"):
            session_settings("default", options)


def test_a_pass_file_is_read_as_libpq_reads_it(tmp_path):
    file = tmp_path / "pass"
    file.write_text("# all\ndb1:5432:shop:ann:one\ndb2:*:*:ann:t\\:wo\n*:*:*:*:rest\n")
    file.chmod(0o600)
    said = {"passfile": str(file)}

    assert password_for(said, "db1", 5432, "shop", "ann") == "one"
    assert password_for(said, "db2", 6432, "shop", "ann") == "t:wo"
    assert password_for(said, "db1", 5433, "shop", "ann") == "rest"
    file.chmod(0o644)
    assert password_for(said, "db1", 5432, "shop", "ann") is None
    assert password_for({"passfile": str(tmp_path / "none")}, "db1", 5432, "shop", "ann") is None


def test_files_of_tls_are_where_libpq_looks_for_them(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    home = tmp_path / ".postgresql"
    home.mkdir()
    hosts = [{"host": "db"}]

    assert tls_of("default", {}, hosts) == {"sslmode": "prefer"}
    assert tls_of("default", {"sslmode": "verify-full"}, [{"host": "/run/postgresql"}]) == {"sslmode": "disable"}
    with pytest.raises(CommandError, match="there is no root certificate"):
        tls_of("default", {"sslmode": "verify-ca"}, hosts)
    assert tls_of("default", {"sslrootcert": "system"}, hosts) == {"sslmode": "verify-full"}
    for name, text in {"root.crt": "", "postgresql.crt": "", "postgresql.key": "-----BEGIN PRIVATE KEY-----"}.items():
        (home / name).write_text(text)
    assert tls_of("default", {"sslmode": "require"}, hosts) == {
        "sslmode": "require",
        "sslrootcert": str(home / "root.crt"),
        "sslcert": str(home / "postgresql.crt"),
        "sslkey": str(home / "postgresql.key"),
    }
    (home / "postgresql.key").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    with pytest.raises(CommandError, match="not encrypted"):
        tls_of("default", {"sslmode": "require"}, hosts)
    (home / "root.crl").write_text("")
    with pytest.raises(CommandError, match="revoked certificates"):
        tls_of("default", {"sslmode": "verify-ca"}, hosts)


@pytest.mark.only_on_postgres
def test_several_hosts_come_in_their_order_each_with_its_password(monkeypatch, tmp_path):
    file = tmp_path / "pass"
    file.write_text("db1:*:*:*:one\ndb2:*:*:*:two\n")
    file.chmod(0o600)
    monkeypatch.delenv("PGPASSWORD", raising=False)
    given(monkeypatch, host="db1,db2", port="5432,6432", password=None)
    said = connecting.parameters
    monkeypatch.setattr(connecting, "parameters", lambda of: {**said(of), "passfile": os.fspath(file)})

    assert listed("a, b") == ["a", "b"]
    assert connecting.database_settings(connection)["hosts"] == [
        {"host": "db1", "port": 5432, "password": "one"},
        {"host": "db2", "port": 6432, "password": "two"},
    ]


@pytest.mark.only_on_postgres
def test_an_address_beside_a_host_is_refused_where_its_name_is_to_be_checked(monkeypatch):
    given(monkeypatch, host="db", hostaddr="127.0.0.1")
    assert connecting.database_settings(connection)["hosts"][0]["host"] == "127.0.0.1"

    said = connecting.parameters
    monkeypatch.setattr(connecting, "parameters", lambda of: {**said(of), "sslmode": "verify-full"})
    with pytest.raises(CommandError, match="cannot check the certificate of 'db' at another address"):
        connecting.database_settings(connection)


def given(monkeypatch, **parameters):
    """Has the open connection's settings say so."""
    connection.ensure_connection()
    own = connection.get_connection_params()
    monkeypatch.setattr(connection, "get_connection_params", lambda: {**own, **parameters})
