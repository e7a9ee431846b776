"""Where what a page speaks of is shown. A link that leads nowhere, or where the user may not go, is no link."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode

from django.contrib.admin.utils import quote
from django.urls import NoReverseMatch, reverse

from gristmill.inspect.listing.search import MOST_CHARACTERS


def url(name: str, *arguments: str, **query: str) -> str:
    """Returns the address of one of our pages, or "" where the project has taken it out of its admin."""
    try:
        address = reverse(f"admin:gristmill_{name}", args=[quote(argument) for argument in arguments])
    except NoReverseMatch:
        return ""
    return address + (f"?{urlencode(query)}" if query else "")


def of_job(job_id: str) -> str:
    """Returns a job's page."""
    return url("job_change", job_id)


def of_task(name: str) -> str:
    """Returns a task's page; "" where its name cannot stand in an address."""
    return url("job_task", name) if name and len(name) <= MOST_CHARACTERS else ""


def of_jobs(**terms: str) -> str:
    """Returns the list of jobs that a search finds, by its terms; "" where it would be longer than a search may be."""
    search = " ".join(f"{name}:{quoted(value)}" for name, value in terms.items())
    return url("job_changelist", q=search) if len(search) <= MOST_CHARACTERS else ""


def quoted(value: str) -> str:
    """Returns a value as a search reads it back."""
    if not re.search(r'[\s"]', value):
        return value
    escaped = re.sub(r'(["\\])', r"\\\1", value)
    return f'"{escaped}"'


def of(about: Mapping[str, str]) -> str:
    """Returns the page that shows most of what a problem is about."""
    if "job" in about:
        return of_job(about["job"])
    if "schedule" in about:
        return url("schedules_change", f"{about['backend']}/{about['schedule']}")
    if "worker" in about:
        return url("worker_changelist") + f"#{about['worker']}"
    if "task" in about or "state" in about:
        return of_jobs(**{name: about[name] for name in ("state", "task", "queue") if name in about})
    return url("queues_changelist") if "queue" in about else url("worker_changelist")
