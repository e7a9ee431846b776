"""One database: made, filled a little, measured, filled, measured, dropped; prints JSON. `run.py` starts it."""

import json
import statistics
import sys
import time
from collections.abc import Callable
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
    finished, ready, requests = (int(each) for each in sys.argv[1:])
    setup_test_environment()
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        client = Client()
        client.force_login(User.objects.create_superuser("lea"))
        say("fills a little")
        people_and_machines()
        Filling(1).fill(FEW, FEW)
        empty = measured(client, requests)
        say(f"fills {finished:,} finished and {ready:,} ready jobs")
        Filling(2).fill(finished, ready)
        full = measured(client, requests)
    finally:
        connection.creation.destroy_test_db("", verbosity=0)
    print(json.dumps([{**full[name], "page": name, "empty": empty[name]["full"]} for name in full]))


def measured(client: Client, requests: int) -> dict[str, dict[str, Any]]:
    """The median of each page in seconds, and how many statements it takes."""
    found = {}
    for name, address in addresses(client).items():
        ask(client, address)
        with CaptureQueriesContext(connection) as queries:
            ask(client, address)
        number = len(queries)
        seconds = [timed(lambda address=address: ask(client, address)) for _ in range(requests)]
        found[name] = {"full": statistics.median(seconds), "queries": number}
    return found


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


def timed(call: Callable[[], None]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def say(what: str) -> None:
    print(f"  {connection.vendor}: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
