"""Where the server may be, and with which password."""

from __future__ import annotations

import os
import random
from typing import Any

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.worker.connecting.pass_file import password_for


def hosts_of(
    connection: BaseDatabaseWrapper, said: dict[str, str], name: str, login: str | None
) -> list[dict[str, Any]]:
    """Returns each place where the server may be, in the order in which they are to be tried, with its password."""
    info = connection.connection.info
    names, addresses, ports = (listed(asked_for(connection, said, name)) for name in ("host", "hostaddr", "port"))
    count = max(len(names), len(addresses), 1)
    ports = ports or ["5432"]
    ports = ports * count if len(ports) == 1 else ports
    # A host that is left out is the socket, or the machine, that libpq was built for.
    names = names or ([] if addresses else [info.host or "localhost"])
    # The one that let Django in. Of several hosts each may have its own, in the pass file alone.
    given = info.password if count == 1 else connection.get_connection_params().get("password")
    given = given or os.environ.get("PGPASSWORD")
    hosts = []
    for number in range(count):
        host = names[number] if number < len(names) else ""
        address = addresses[number] if number < len(addresses) else ""
        port = int(ports[number] or 5432)
        password = given or password_for(said, host or address, port, name, login)
        place = {"host": address or host or "localhost", "port": port, "password": password}
        hosts.append({key: value for key, value in place.items() if value})
        if address and host and said.get("sslmode") == "verify-full":
            raise CommandError(
                f"workers cannot check the certificate of '{host}' at another address (hostaddr '{address}') of "
                f"database '{connection.alias}'; leave hostaddr out, or let sslmode be verify-ca"
            )
    if said.get("load_balance_hosts") == "random":
        random.shuffle(hosts)
    return hosts


def asked_for(connection: BaseDatabaseWrapper, said: dict[str, str], name: str) -> str:
    """
    Returns a keyword as it was given, of all hosts.

    psycopg tries them one by one, each by its address, and has said to libpq no more than the one that let it in; what
    stands in a service file only libpq has read.
    """
    given = connection.get_connection_params().get(name) or os.environ.get(f"PG{name.upper()}")
    return str(given or (said.get(name, "") if name != "hostaddr" or said.get("service") else ""))


def listed(text: str | None) -> list[str]:
    """Returns the parts of a list as libpq writes one; none for nothing."""
    return [part.strip() for part in text.split(",")] if text else []
