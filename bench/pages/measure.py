"""One database: made, filled, asked for pages line by line, dropped; answers with JSON. `run.py` starts two of it."""

import json
import sys
import time
from typing import Any

import django

django.setup()

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_test_environment
from django.urls import reverse
from filling import Filling, people_and_machines

from gristmill.models import ReadyRow, ResultRow, RunningRow, ScheduledRow, WaitingRow

FEW = 60


def main() -> None:
    """Fills, says which pages there are, and then asks for each page whose name is a line of the input."""
    finished, ready = (int(each) for each in sys.argv[1:])
    setup_test_environment()
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        client = Client()
        client.force_login(User.objects.create_superuser("lea"))
        people_and_machines()
        Filling().fill(max(finished, FEW), max(ready, FEW))
        pages = addresses(client)
        print(json.dumps(list(pages)), flush=True)
        for line in sys.stdin:
            print(json.dumps(asked(client, pages[line.strip()])), flush=True)
    finally:
        connection.creation.destroy_test_db("", verbosity=0)


def asked(client: Client, address: str) -> tuple[float, int]:
    """Asks for a page: seconds, and statements."""
    with CaptureQueriesContext(connection) as queries:
        begun = time.perf_counter()
        ask(client, address)
        seconds = time.perf_counter() - begun
    return seconds, len(queries)


def addresses(client: Client) -> dict[str, str]:
    """Every page that there is, and every kind of list."""
    pages = ("overview", "job", "failures", "queues", "schedules", "worker")
    found = {name: reverse(f"admin:gristmill_{name}_changelist") for name in pages}
    jobs = found["job"]
    for state in ("ready", "scheduled", "waiting", "held", "running", "successful", "failed", "poisoned"):
        found[f"jobs, {state}"] = f"{jobs}?q=state:{state}"
    following = client.get(jobs).context_data["following"]
    found["jobs, second page"] = jobs + (following or "")
    found["jobs, of a queue"] = f"{jobs}?q=queue:queue-7"
    found["jobs, of a lane"] = f"{jobs}?q=state:ready+queue:queue-5+task:shop.tasks.task_0"
    found["overview, again"] = found["overview"] + "?fragment=1"
    found["a schedule"] = reverse("admin:gristmill_schedules_change", args=["default_2Fnightly-1"])
    places = {"ready": ReadyRow, "scheduled": ScheduledRow, "waiting": WaitingRow, "running": RunningRow}
    for state, model in places.items():
        found[f"a job, {state}"] = job(model.objects.order_by("-id").first().id)
    for state in ("successful", "failed"):
        newest = ResultRow.objects.filter(state=state).order_by("-finished_at").first()
        found[f"a job, {state}"] = job(newest.id)
    found["a job's graph"] = job(WaitingRow.objects.order_by("-id").first().id, "graph")
    return found


def job(job_id: Any, page: str = "change") -> str:
    return reverse(f"admin:gristmill_job_{page}", args=[job_id.hex])


def ask(client: Client, address: str) -> None:
    response = client.get(address)
    if response.status_code != 200:
        sys.exit(f"{address} answered {response.status_code}")


if __name__ == "__main__":
    main()
