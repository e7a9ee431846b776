"""The engine's sessions connect as Django's do: TLS, certificates, schemas, roles, and passwords that change."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import encrypted
import psycopg
import pytest
from encrypted import Certificates
from project import Database, Project, environment_of, new_database
from waiting import wait_for

from gristmill.values.binary import find_binary

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@pytest.fixture(scope="module")
def certificates() -> Iterator[Certificates]:
    with encrypted.certificates() as made:
        yield made


class Asked:
    """How psycopg and the engine fare on one server."""

    def __init__(self, server: encrypted.postgres.Server, home: Path) -> None:
        self.server, self.home = server, home

    def both(self, **parameters: object) -> tuple[str, str]:
        given = {name: str(value) for name, value in parameters.items() if value}
        return self.psycopg(given), self.engine(given)

    def psycopg(self, parameters: dict[str, str]) -> str:
        with pytest.MonkeyPatch.context() as patch:
            for name in os.environ.keys() - self.env().keys():
                patch.delenv(name)
            patch.setenv("HOME", str(self.home))
            try:
                with psycopg.connect(self.server.url, **parameters) as connection:  # type: ignore[arg-type]
                    return "encrypted" if connection.info.pgconn.ssl_in_use else "plain"
            except psycopg.OperationalError:
                return "refused"

    def engine(self, parameters: dict[str, str]) -> str:
        before = len(self.server.log())
        url = f"{self.server.url}?{urlencode(parameters, quote_via=quote)}"
        done = subprocess.run(
            [find_binary(), "migrate"], env=self.env() | {"GRISTMILL_DATABASE_URL": url}, capture_output=True, text=True
        )
        if done.returncode:
            return "refused"
        (line,) = [
            line
            for line in self.server.log()[before:].splitlines()
            if "connection authorized" in line and "application_name=gristmill" in line
        ]
        return "encrypted" if "SSL enabled" in line else "plain"

    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "SSL_"))}
        return {**kept, "HOME": str(self.home)}


@pytest.mark.parametrize(
    ("rules", "certificate"),
    [
        (encrypted.ANYBODY, "server"),
        (encrypted.ANYBODY, None),
        (encrypted.ENCRYPTED, "server"),
        (encrypted.ENCRYPTED, "elsewhere"),
        (encrypted.CERTIFIED, "server"),
    ],
    ids=["offered", "none", "insisted", "another name", "certified"],
)
def test_the_engine_is_let_in_and_encrypted_as_psycopg_is(
    certificates: Certificates, tmp_path: Path, rules: str, certificate: str | None
) -> None:
    own = {"sslcert": certificates.client, "sslkey": certificates.client.with_suffix(".key")}
    clients: list[dict[str, Path]] = [{}, own] if rules == encrypted.CERTIFIED else [{}]
    path = certificates.folder / f"{certificate}.crt" if certificate else None
    with encrypted.server(certificates, rules, path) as server:
        asked = Asked(server, tmp_path)
        for client in clients:
            for mode in MODES:
                for root in (None, certificates.root, certificates.stranger):
                    django, engine = asked.both(sslmode=mode, sslrootcert=root, **client)
                    # Without a root psycopg refuses to check; the engine, asked directly, goes by the system's, which
                    # does not know this server either.
                    assert engine == django, (mode, root, client)


def test_a_worker_runs_on_a_server_that_insists_on_tls_and_its_tasks_trust_whom_they_did(
    certificates: Certificates, tmp_path: Path
) -> None:
    with encrypted.server(certificates, encrypted.ENCRYPTED, certificates.server) as server:
        tls = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(certificates.root)}
        project = Project(Database(server.url), tmp_path)
        project.env |= tls
        project.manage("migrate", "--verbosity", "0")
        worker = project.start_worker("--processes", "1", "--heartbeat", "1")
        try:
            (job,) = project.enqueue("note")
            assert project.wait_until_finished([job], within=15) == {job: "successful"}
            given = [entry for entry in environment_of(worker.zygote()) if entry.startswith(b"SSL_CERT_")]
            own = [f"{name}={value}".encode() for name, value in os.environ.items() if name.startswith("SSL_CERT_")]
            assert sorted(given) == sorted(own), "the engine's roots are none of the tasks'"
        finally:
            worker.clear_away()


@pytest.mark.parametrize("template", ["postgres"], indirect=True)
def test_a_worker_serves_the_queue_of_its_own_schema_and_no_neighbours(
    template: tuple[Database, str | None], tmp_path: Path
) -> None:
    server = template[1]
    assert server
    database = new_database("postgres", tmp_path, server)
    env = dict(os.environ, GRISTMILL_DATABASE_URL=database.url)
    subprocess.run([find_binary(), "migrate"], env=env, check=True, capture_output=True)
    neighbours = "with job as (insert into gristmill_job "
    neighbours += "(id, backend, queue_name, task_name, priority, enqueued_at, args, kwargs) "
    neighbours += (
        "values (gen_random_uuid(), 'default', 'default', 'work.tasks.note', 0, now(), '[]', '{}') returning *) "
    )
    neighbours += (
        "insert into gristmill_ready (id, backend, queue_name, task_name, priority, deadline, token, generation) "
    )
    neighbours += "select id, backend, queue_name, task_name, priority, enqueued_at, 0, 1 from job"
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(neighbours)  # type: ignore[arg-type]
        connection.execute("create schema app")
        # A role is the whole server's.
        role = f"shop_{connection.info.dbname}"
        connection.execute(f"create role {role} login superuser")  # type: ignore[arg-type]
    project = Project(database, tmp_path)
    project.env["JOURNEY_DATABASE_OPTIONS"] = json.dumps({"options": "-c search_path=app,public", "assume_role": role})
    project.manage("migrate", "--verbosity", "0")
    worker = project.start_worker("--processes", "1", "--heartbeat", "1")
    try:
        (job,) = project.enqueue("note")
        ended = "select id from app.gristmill_result"
        wait_for("the job of its own schema to end", lambda: database.rows(ended), within=15)
        assert [run.job for run in project.runs()] == [job]
        assert len(database.rows("select id from public.gristmill_ready")) == 1, "the neighbour's job was taken"
    finally:
        worker.clear_away()


@pytest.mark.parametrize("template", ["postgres"], indirect=True)
def test_a_worker_whose_sessions_would_read_other_tables_than_djangos_is_refused(project: Project) -> None:
    with psycopg.connect(project.database.url, autocommit=True) as connection:
        connection.execute("create schema decoy")
        connection.execute("create table decoy.gristmill_job (id uuid)")
    worker = project.start_worker("--processes", "1", env={"JOURNEY_ENGINE": "astray"})
    assert worker.exit_status(within=20) == 78, worker.said()
    assert "do not agree on the schema: decoy there, public here" in worker.said()


def test_a_rotated_password_is_asked_for_and_one_that_nobody_knows_ends_the_worker(
    certificates: Certificates, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("first")
    with encrypted.server(certificates, encrypted.PASSWORD, None) as server:
        owner = Project(Database(server.url), tmp_path)
        owner.manage("migrate", "--verbosity", "0")
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("grant all on all tables in schema public to shop")
            connection.execute("grant all on all sequences in schema public to shop")
        project = Project(Database(server.url.replace("gristmill@", "shop@", 1)), tmp_path)
        project.database = owner.database
        project.env |= {"JOURNEY_ENGINE": "rotating", "JOURNEY_PASSWORD_FILE": str(password)}
        worker = project.start_worker("--processes", "1", "--heartbeat", "1")
        try:
            (job,) = project.enqueue("note")
            project.wait_until_finished([job], within=15)
            rotate(server.url, "second")
            password.write_text("second")
            owner.database.cut_all_connections()
            (job,) = project.enqueue("note")
            assert project.wait_until_finished([job], within=40) == {job: "successful"}, worker.said()
            assert "Python gave another one" in worker.said()
            rotate(server.url, "third")
            owner.database.cut_all_connections()
            assert worker.exit_status(within=60) not in (0, None), worker.said()
            assert "does not let the worker in" in worker.said()
        finally:
            worker.clear_away()


def rotate(url: str, password: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"alter role shop password '{password}'")  # type: ignore[arg-type]
