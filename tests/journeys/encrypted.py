"""PostgreSQL servers that speak TLS, with roots of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import postgres
import psycopg

#: Whoever may log in as anybody, whoever must be encrypted, and whoever must show a certificate.
ANYBODY = "host all all 127.0.0.1/32 trust\n"
ENCRYPTED = "hostssl all all 127.0.0.1/32 trust\n"
CERTIFIED = "hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n"
PASSWORD = "host all shop 127.0.0.1/32 scram-sha-256\nhost all gristmill 127.0.0.1/32 trust\n"


class Certificates:
    """A root, a stranger's root, and certificates that the first has signed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root, self.stranger = self.made("root"), self.made("stranger")
        self.server = self.signed("server", "IP:127.0.0.1")
        self.elsewhere = self.signed("elsewhere", "DNS:elsewhere.example")
        self.client = self.signed("gristmill", "DNS:gristmill")
        user = postgres.unprivileged_user()
        for path in folder.iterdir():
            path.chmod(0o600 if path.suffix == ".key" else 0o644)
            if user and path.stem in ("server", "elsewhere"):
                shutil.chown(path, user)

    def made(self, name: str) -> Path:
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", name=name)
        return self.folder / f"{name}.crt"

    def signed(self, name: str, alternative: str) -> Path:
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", name=name, kind="csr")
        names = self.folder / f"{name}.names"
        names.write_text(f"subjectAltName={alternative}\n")
        run = ["openssl", "x509", "-req", "-days", "2", "-CAcreateserial", "-in", f"{name}.csr", "-out", f"{name}.crt"]
        run += ["-CA", "root.crt", "-CAkey", "root.key", "-extfile", names.name]
        subprocess.run(run, cwd=self.folder, check=True, capture_output=True)
        return self.folder / f"{name}.crt"

    def openssl(self, *arguments: str, name: str, kind: str = "crt") -> None:
        run = ["openssl", *arguments, "-keyout", f"{name}.key", "-out", f"{name}.{kind}"]
        subprocess.run(run, cwd=self.folder, check=True, capture_output=True)


@contextlib.contextmanager
def certificates() -> Iterator[Certificates]:
    """Made anew, where a server of another user may read them."""
    folder = Path(tempfile.mkdtemp(prefix="gristmill-tls-"))
    folder.chmod(0o755)
    try:
        yield Certificates(folder)
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def server(certificates: Certificates, rules: str, certificate: Path | None) -> Iterator[postgres.Server]:
    """A server with these rules of who may log in, and TLS where it has a certificate."""
    hba = certificates.folder / f"{os.urandom(4).hex()}.hba"
    hba.write_text(rules)
    settings = {"hba_file": str(hba), "log_connections": "on"}
    if certificate:
        settings |= {
            "ssl": "on",
            "ssl_cert_file": str(certificate),
            "ssl_key_file": str(certificate.with_suffix(".key")),
            "ssl_ca_file": str(certificates.root),
        }
    # It is started, and asked whether it is up, before the rules hold: without TLS, by anybody.
    open_rules = hba.with_suffix(".open")
    open_rules.write_text(ANYBODY)
    with postgres.own_server(**{**settings, "hba_file": str(open_rules)}) as own:
        open_rules.write_text(rules)
        with psycopg.connect(own.url, sslmode="prefer", autocommit=True) as connection:
            connection.execute("create role shop login password 'first'")
            connection.execute("select pg_reload_conf()")
        yield own
