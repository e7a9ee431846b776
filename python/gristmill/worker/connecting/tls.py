"""How the session is encrypted: libpq's files where they are, as it looks for them itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError


def tls_of(alias: str, said: dict[str, str], hosts: list[dict[str, Any]]) -> dict[str, str]:
    """Returns sslmode and the files of roots, certificate and key; nothing is encrypted on sockets."""
    if all(place["host"].startswith("/") for place in hosts):
        return {"sslmode": "disable"}
    home = Path("~/.postgresql").expanduser()
    found = {"sslmode": said.get("sslmode") or "prefer"}
    root = said.get("sslrootcert") or str(home / "root.crt")
    if root == "system":
        # As in libpq, which takes the system's roots for no less than that.
        found["sslmode"] = "verify-full"
    elif Path(root).exists():
        found["sslrootcert"] = os.path.abspath(root)
    elif found["sslmode"].startswith("verify-"):
        raise CommandError(f"there is no root certificate at '{root}' for database '{alias}' (sslrootcert)")
    if "sslrootcert" in found and found["sslmode"] != "disable" and (home / "root.crl").exists():
        raise CommandError(f"workers cannot go by the revoked certificates in '{home / 'root.crl'}' (sslcrl)")
    certificate = said.get("sslcert") or str(home / "postgresql.crt")
    key = said.get("sslkey") or str(home / "postgresql.key")
    if Path(certificate).exists():
        if "ENCRYPTED" in (text := Path(key).read_text(errors="replace")) or "PRIVATE KEY" not in text:
            raise CommandError(
                f"workers cannot use the key in '{key}' (sslkey) of database '{alias}': it has to be a "
                "PEM file that is not encrypted"
            )
        found |= {"sslcert": os.path.abspath(certificate), "sslkey": os.path.abspath(key)}
    return found
