"""Looks up a password as libpq does: several hosts may each have one of their own in its pass file."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

_FIELD = re.compile(r"((?:[^:\\]|\\.)*)(?::|$)")


def password_for(said: dict[str, str], host: str, port: int, name: str, login: str | None) -> str | None:
    """Returns the password of the first line that fits, if any; a file that others may read counts for nothing."""
    path = Path(said.get("passfile") or os.environ.get("PGPASSFILE") or "~/.pgpass").expanduser()
    try:
        if not path.is_file() or path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            return None
        lines = path.read_text().splitlines()
    except OSError:
        return None
    # The directory of a socket is called localhost there.
    wanted = ["localhost" if not host or host == "/var/run/postgresql" else host, str(port), name, login or ""]
    for line in lines:
        fields: list[str] = [field.replace("\\:", ":").replace("\\\\", "\\") for field in _FIELD.findall(line)]
        if line.startswith("#") or len(fields) < 5:
            continue
        if all(field in ("*", each) for field, each in zip(fields[:4], wanted, strict=True)):
            return fields[4]
    return None
