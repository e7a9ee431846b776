"""One job: why it is where it is, what was asked, what became of each attempt, and what may be done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID
from zlib import crc32

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from gristmill.admin import links
from gristmill.admin.actions import ACTIONS, Action, Chosen, actions_of, carry_out, queues_of
from gristmill.admin.again import may_run_again, run_again
from gristmill.admin.log import write_down
from gristmill.admin.task import TaskPage
from gristmill.compat import TaskResultDoesNotExist
from gristmill.inspect.details.read import MOST_ATTEMPTS, Details, details_of
from gristmill.inspect.drawing import svg
from gristmill.inspect.drawing.reading import read_graph
from gristmill.inspect.explaining.look import Look, jobs_by_id
from gristmill.inspect.explaining.reasons import reasons_of
from gristmill.inspect.listing.pages import EVERYTHING
from gristmill.inspect.redacting import Shown
from gristmill.models import Job, JobRow
from gristmill.tasks.aliases import gristmill_backends
from gristmill.values.ids import parse_id

if TYPE_CHECKING:
    from django.urls import URLPattern

#: Attempts that are shown, unless all are asked for.
ATTEMPTS = 5
#: Steps each way, and jobs in all, of the drawn graph.
DEPTH, DRAWN = 3, 40
#: The picture has its styles in itself, and needs nothing else.
PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class OneJobPage(TaskPage):
    """A job's page, and the picture of what it waits for and what waits for it."""

    def get_urls(self) -> list[URLPattern]:
        """Adds the picture's address."""
        view = self.admin_site.admin_view(self.graph_view)
        return [path("<path:object_id>/graph.svg", view, name="gristmill_job_graph"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Shows it; a POST does something to it, or shows what is redacted."""
        self.require(request, self.view_permission)
        job_id, using = found_job(object_id)
        reveal = False
        if request.method == "POST":
            reveal = request.POST.get("action") == "reveal"
            if request.POST.get("action") == "enqueue_again":
                return run_again(self, request, job_id, using)
            if not reveal:
                return self.act_on_one(request, job_id, using)
            self.require(request, "reveal_job")
            write_down(request, Job, job_id.hex, "Saw redacted arguments")
        every = request.GET.get("attempts") == "all"
        try:
            found = details_of(job_id, using, reveal=reveal, attempts=MOST_ATTEMPTS if every else ATTEMPTS)
        except TaskResultDoesNotExist:
            raise Http404(f"there is no job {job_id.hex}") from None
        permitted = self.permitted(request, found.explanation.state)
        known = those_there({act.other for act in found.actions if act.other}, using)
        return self.show(
            request,
            "job.html",
            found.row.task_name,
            job=found,
            task_url=links.of_task(found.row.task_name),
            state=found.explanation.state,
            more=list(dict.fromkeys(reason.sentence for reason in found.explanation.reasons[1:])),
            arguments=named(found.arguments) if found.arguments is not None else [],
            attempts=[(attempt, found.labels.get(attempt.worker_id)) for attempt in found.attempts[::-1]],
            more_attempts=found.attempt_count > len(found.attempts),
            before=[(one, links.of_job(one.id)) for one in found.preconditions.first],
            behind=[(one, links.of_job(one.id)) for one in found.dependents.first],
            schedule_url=found.schedule and links.url("schedules_change", f"{found.row.backend}/{found.schedule}"),
            graph_url=links.url("job_graph", job_id.hex) if is_in_graph(found) else "",
            graph_mark=graph_mark(found),
            acts=[(act, links.of_job(act.other) if act.other in known else "") for act in found.actions],
            actions=permitted,
            queues=queues_of(using, found.row.backend) if ACTIONS["change"] in permitted else (),
            may_enqueue=may_run_again(self, request, found.row),
            may_reveal=not reveal
            and found.arguments is not None
            and found.arguments.is_redacted
            and self.may(request, "reveal_job"),
        )

    def permitted(self, request: HttpRequest, branch: str) -> list[Action]:
        """Returns the actions that make sense for a branch, and that the user may do."""
        return [ACTIONS[name] for name in actions_of(branch) if self.may(request, ACTIONS[name].permission)]

    def act_on_one(self, request: HttpRequest, job_id: UUID, using: str) -> HttpResponse:
        """Does to this job what is asked for."""
        action = ACTIONS.get(request.POST.get("action", ""))
        if action is None:
            raise PermissionDenied
        self.require(request, action.permission)
        said = carry_out(request, action, Chosen(using, EVERYTHING, (job_id,), None), job_id.hex)
        messages.add_message(request, messages.SUCCESS if said.did else messages.WARNING, said.sentence)
        return HttpResponseRedirect(request.get_full_path())

    def graph_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Draws it among those that it waits for and that wait for it."""
        self.require_read(request)
        job_id, using = found_job(object_id)
        job = jobs_by_id([job_id], using).get(job_id)
        if job is None:
            raise Http404(f"there is no job {job_id.hex}")
        look = Look(job, using)
        picture = svg.picture(read_graph(look, depth=DEPTH, max_jobs=DRAWN), reasons_of(look)[0].sentence)
        headers = {"Content-Security-Policy": PICTURE_POLICY, "X-Content-Type-Options": "nosniff"}
        return HttpResponse(picture, content_type="image/svg+xml", headers=headers)


def named(arguments: Shown) -> list[tuple[str, Any]]:
    """Returns arguments by the names that the function gives them; positional ones by number where it is not known."""
    nameless = len(arguments.args) + len(arguments.kwargs) - len(arguments.by_name)
    if not nameless:
        return list(arguments.by_name.items())
    numbered = [(f"argument {number}", value) for number, value in enumerate(arguments.args, 1)]
    return [*numbered, *arguments.kwargs.items()]


def those_there(ids: set[str], using: str) -> set[str]:
    """Returns those of some jobs that have not been forgotten."""
    found = JobRow.objects.using(using).filter(pk__in=ids).values_list("pk", flat=True) if ids else ()
    return {job_id.hex for job_id in found}


def is_in_graph(found: Details) -> bool:
    """Tells whether there is something to draw."""
    return found.job is not None and bool(found.preconditions.count or found.dependents.count)


def graph_mark(found: Details) -> str:
    """Returns another text when the job or one beside it has changed: a browser keeps a picture by its address."""
    beside = [(one.state, one.edge) for one in (*found.preconditions.first, *found.dependents.first)]
    return f"{crc32(repr((found.explanation.state, found.attempt_count, beside)).encode()):x}"


def found_job(object_id: str) -> tuple[UUID, str]:
    """
    Returns the id that an address names, and the database that has the job; 404 where none has.

    Where there is one database alone, who reads the job finds out whether it is there.
    """
    job_id = parse_id(unquote(object_id))
    databases = list(dict.fromkeys(backend.database for backend in gristmill_backends().values()))
    if job_id is not None:
        for database in databases:
            if len(databases) == 1 or JobRow.objects.using(database).filter(pk=job_id).exists():
                return job_id, database
    raise Http404("there is no such job: it may have been pruned, or its transaction was rolled back")
