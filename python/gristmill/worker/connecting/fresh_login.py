"""
Prints how to open a database, as the settings say now.

A worker whose login is refused asks this: a password may have been rotated, and a database backend of the project's own
may know the new one.
"""

import json
import signal
import sys

from gristmill.worker.booting import call_before_setup, take_database_names
from gristmill.worker.connecting.settings import database_settings

#: Seconds until nobody waits for the answer any more.
PATIENCE = 30


def main() -> None:
    """Opens the database as the project does, and prints a line of JSON."""
    signal.alarm(PATIENCE)
    call_before_setup()

    import django
    from django.db import connections

    take_database_names()
    django.setup()
    print("\n" + json.dumps(database_settings(connections[sys.argv[1]])), flush=True)
