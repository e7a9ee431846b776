"""Jobs: a list of one state in the order which that state wants, a search, and what may be done to what it finds."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from gristmill.admin import links
from gristmill.admin.actions import ACTIONS, Chosen, carry_out, queues_of
from gristmill.admin.job import OneJobPage
from gristmill.inspect.listing.choices import choices_asked, choices_said
from gristmill.inspect.listing.counts import counts_asked, counts_said
from gristmill.inspect.listing.pages import EVERYTHING, page_of
from gristmill.inspect.listing.search import Search, SearchError
from gristmill.inspect.questions import ask
from gristmill.models import Job
from gristmill.tasks.aliases import gristmill_backends

#: The tabs, in the order of a job's life; "all" before them.
STATES = (
    *("all", "ready", "scheduled", "waiting", "stranded", "held", "running"),
    *("successful", "failed", "cancelled", "poisoned"),
)
#: A term that says the state; not one that stands in quotes.
STATE = re.compile(r'(?<!\S)state:\S+(?=(?:[^"]*"[^"]*")*[^"]*$)')


class JobPage(OneJobPage):
    """A page of the jobs of one database, narrowed by a search."""

    view_permission = "view_job"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Shows it; a POST does something to some of them, once that was confirmed."""
        self.require(request, self.view_permission)
        connection = connection_of(request)
        text = request.GET.get("q", "").strip()
        if request.method == "POST":
            return self.act(request, connection, text)
        wrong, search = "", EVERYTHING
        try:
            search = Search.parse(text)
            page = page_of(connection, search, cursor=request.GET.get("cursor"))
        except SearchError as error:
            wrong, page = str(error), None
        here = search.state or "all"
        # What stands beside the list is one statement.
        beside = ask(connection, **counts_asked(connection), **choices_asked(connection))
        counted = counts_said(beside)
        return self.show(
            request,
            "jobs.html",
            "Jobs",
            text=text,
            wrong=wrong,
            page=page,
            rows=[(row, links.of_job(row.id)) for row in page.rows] if page else [],
            states=[(name, counted.get(name), address(request, text, state=name), name == here) for name in STATES],
            following=page and page.next and address(request, text, cursor=page.next),
            preceding=page and page.previous and address(request, text, cursor=page.previous),
            choices=choices_said(connection, beside),
            databases=[(alias, f"?{urlencode({'q': text, 'database': alias})}") for alias in databases()],
            database=connection.alias,
            actions=self.permitted(request, here),
        )

    def act(self, request: HttpRequest, connection: BaseDatabaseWrapper, text: str) -> HttpResponse:
        """Asks whether an action is meant, or carries it out."""
        action = ACTIONS.get(request.POST.get("action", ""))
        if action is None:
            raise PermissionDenied
        self.require(request, action.permission)
        try:
            chosen = Chosen.of(request.POST, connection.alias, Search.parse(text))
        except SearchError as error:
            messages.error(request, f"Nothing was done: {error}.")
            return HttpResponseRedirect(request.get_full_path())
        if not chosen:
            messages.warning(request, "Nothing was done: tick some jobs first, or choose all that the search finds.")
            return HttpResponseRedirect(request.get_full_path())
        if "confirmed" not in request.POST:
            return self.show(
                request,
                "confirm.html",
                f"{action.title}?",
                action=action,
                chosen=chosen,
                text=text,
                examples=[(job, links.of_job(job.id.hex)) for job in chosen.examples()],
                queues=queues_of(connection.alias) if action.verb == "change" else (),
                back=request.get_full_path(),
            )
        said = carry_out(request, action, chosen, text)
        messages.add_message(request, messages.SUCCESS if said.did else messages.WARNING, said.sentence)
        return HttpResponseRedirect(request.get_full_path())


def databases() -> list[str]:
    """Returns the databases that keep jobs, the one of "default" first."""
    known = gristmill_backends()
    first = [known["default"].database] if "default" in known else []
    return list(dict.fromkeys([*first, *(backend.database for backend in known.values())]))


def connection_of(request: HttpRequest) -> BaseDatabaseWrapper:
    """Returns the database that the address names, else the first."""
    known = databases()
    asked = request.GET.get("database")
    return connections[asked if asked in known else known[0] if known else Job.objects.db]


def address(request: HttpRequest, text: str, *, state: str | None = None, cursor: str | None = None) -> str:
    """Returns this page with another state, or another place."""
    if state is not None:
        rest = STATE.sub("", text).strip()
        text = rest if state == "all" else f"state:{state} {rest}".strip()
    query = {"q": text, "database": request.GET.get("database", ""), "cursor": cursor or ""}
    return "?" + urlencode({name: value for name, value in query.items() if value})
