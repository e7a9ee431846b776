"""The example site's demo data, made by a real worker: twice asked for, once there."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

from waiting import PATIENCE

SITE = Path(__file__).resolve().parents[2] / "examples" / "django_site"
MAIL = "gristmill.mail.deliver"


def manage(folder: Path, command: str) -> None:
    env = {**os.environ, "SITE_VAR": str(folder), "DATABASE_URL": ""}
    subprocess.run([sys.executable, "manage.py", command], cwd=SITE, env=env, check=True, timeout=30 * PATIENCE)


def states(folder: Path) -> Counter[tuple[str, str]]:
    """How many jobs of each task are in each state."""
    with closing(sqlite3.connect(folder / "site.sqlite3")) as connection:
        rows = connection.execute("select task_name, state from gristmill_jobs").fetchall()
    return Counter((name.removeprefix("office.tasks."), state) for name, state in rows)


def test_a_worker_makes_the_demo_data_once_however_often_it_is_asked_for(tmp_path: Path) -> None:
    manage(tmp_path, "prepare_site")
    manage(tmp_path, "demo_data")
    once = states(tmp_path)

    assert once.items() >= {
        ("charge", "failed"): 12, ("print_order", "failed"): 12, ("take_paper", "failed"): 12,
        ("read_raw", "poisoned"): 1, ("fetch_rate", "scheduled"): 2, ("remind", "scheduled"): 3,
        ("remind", "held"): 1, ("close_month", "stranded"): 1, ("mail_accounts", "stranded"): 1,
        ("send_newsletter", "ready"): 8, (MAIL, "successful"): 6, ("import_catalogue", "ready"): 3,
        ("announce", "waiting"): 3,
    }.items()  # fmt: skip
    assert len(list((tmp_path / "mail").iterdir())) == 6

    manage(tmp_path, "demo_data")
    assert states(tmp_path) == once
