"""The first steps, exactly as they stand on their page, in an empty folder; what they promise is seen in the admin."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import django
import pytest
from test_pages import blocks
from waiting import PATIENCE, wait_for

PAGE = "docs/start/first-steps.md"
# What only a person does: the packages are here, and pages are looked at without a server.
LEFT_OUT = ("pip install ", "python manage.py runserver")
WORKER = "python manage.py gristmill worker"
AT_ITS_END = ", at its end"
# Logs in as the page says, and prints the text of these pages.
LOOK = """
import json, re
from django.test import Client
from django.utils.html import strip_tags
client = Client(headers={"host": "127.0.0.1:8000"})
assert client.login(username="me", password="secret"), "the page's user may not log in"
def text_of(address):
    answer = client.get(address)
    assert answer.status_code == 200, f"{address}: {answer.status_code}"
    return answer.content.decode()
pages = {address: text_of(address) for address in ADDRESSES}
jobs = re.findall(r'href="(/admin/gristmill/job/[0-9a-f]{32}/change/)', pages[ADDRESSES[0]])
pages["job"] = text_of(jobs[0]) if jobs else ""
print("PAGES" + json.dumps({name: " ".join(strip_tags(page).split()) for name, page in pages.items()}))
"""


class Reader:
    """Somebody who copies what stands there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "PG"))}
        # The page says `python`, and means the one that has the packages.
        self.env = {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        self.worker: subprocess.Popen[bytes] | None = None

    def follow(self) -> None:
        """Every block, from the top down."""
        for block in blocks(PAGE):
            if block.language == "python":
                self.paste(block.place, block.text)
            else:
                for line in block.text.splitlines():
                    self.type(line)

    def paste(self, place: str, text: str) -> None:
        assert place, f"the block does not say where it belongs: {text}"
        path = self.folder / place.removesuffix(AT_ITS_END)
        assert path.parent.is_dir(), f"{place}: nothing has made its folder"
        if place.endswith(AT_ITS_END):
            on_5 = 'INSTALLED_APPS += ["django_tasks"]\n' if django.VERSION < (6, 0) else ""
            path.write_text(path.read_text() + text + on_5)
        else:
            path.write_text(text)

    def type(self, line: str) -> None:
        if line.startswith(LEFT_OUT):
            return
        if line == WORKER:
            self.worker = subprocess.Popen(
                line.split(), cwd=self.folder, env=self.env, start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            return
        done = subprocess.run(
            line, shell=True, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60 * PATIENCE
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert "WARNING" not in done.stdout + done.stderr, f"{line}\n{done.stdout}{done.stderr}"

    def succeeded(self) -> set[str]:
        """The tasks of which a job has succeeded."""
        with closing(sqlite3.connect(self.folder / "db.sqlite3")) as connection:
            rows = connection.execute("select task_name from gristmill_jobs where state = 'successful'").fetchall()
        return {name.rpartition(".")[2] for (name,) in rows}

    def sees(self, *addresses: str) -> dict[str, str]:
        """The pages' text, and that of the first job on the first of them."""
        done = subprocess.run(
            ["python", "manage.py", "shell", "-c", f"ADDRESSES = {addresses!r}\n{LOOK}"],
            cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60 * PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        (line,) = re.findall(r"^PAGES(.+)$", done.stdout, re.MULTILINE)
        found: dict[str, str] = json.loads(line)
        return found

    def stop(self) -> None:
        if self.worker is None:
            return
        self.worker.terminate()
        try:
            assert self.worker.wait(20 * PATIENCE) == 0
        finally:
            if self.worker.poll() is None:
                os.killpg(self.worker.pid, signal.SIGKILL)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def test_who_copies_the_first_steps_sees_a_retried_and_a_scheduled_job_in_the_admin(reader: Reader) -> None:
    page = (Path(__file__).resolve().parents[2] / PAGE).read_text()
    receipts, schedules, overview = re.findall(r"<http://127\.0\.0\.1:8000(/admin/gristmill/[^>]+)>", page)
    counts = "/admin/gristmill/job/?q=task:shop.tasks.count_stock"
    try:
        reader.follow()

        wait_for("both tasks to have succeeded", lambda: reader.succeeded() >= {"send_receipt", "count_stock"}, 20)
        seen = reader.sees(receipts, counts, schedules, overview)
    finally:
        reader.stop()
    assert "shop.tasks.send_receipt" in seen[receipts]
    assert "ConnectionError: the mail server is busy" in seen["job"]
    assert "receipt for order 7" in seen["job"]
    assert "Attempt 2" in seen["job"]
    assert "shop.tasks.count_stock" in seen[schedules]
    assert "All is well" in seen[overview]
