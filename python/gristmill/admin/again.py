"""
One job run again with other arguments: a form that shows those it had, and a new job of what comes back.

Whoever may not see some of them cannot change the others, as what is hidden would have to be put back unseen.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect

from gristmill import operations
from gristmill.admin import links
from gristmill.admin.log import actor, write_down
from gristmill.compat import InvalidTask
from gristmill.exceptions import OutsideTransaction, UniqueContention, UnknownJob
from gristmill.inspect.arguments import HIDDEN, arguments_of
from gristmill.models import Job, JobRow

if TYPE_CHECKING:
    from gristmill.admin.page import Page

#: What the person at the form can mend, or has to know.
WRONG = (TypeError, ValueError, InvalidTask, ImproperlyConfigured, OutsideTransaction, UniqueContention, UnknownJob)
PERMISSION, SEES_ALL = "enqueue_job", "reveal_job"


def may_run_again(page: Page, request: HttpRequest, row: JobRow) -> bool:
    """Tells whether this user may run this job again with other arguments."""
    shown = arguments_of(row.backend, row.task_name, row.args, row.kwargs, row.options)
    return (
        page.may(request, PERMISSION) and shown is not None and (not shown.is_redacted or page.may(request, SEES_ALL))
    )


def run_again(page: Page, request: HttpRequest, job_id: UUID, using: str) -> HttpResponse:
    """Shows the form; enqueues the new job where it was filled in."""
    page.require(request, PERMISSION)
    row = JobRow.objects.using(using).filter(pk=job_id).first()
    if row is None:
        raise Http404(f"there is no job {job_id.hex}")
    shown = arguments_of(row.backend, row.task_name, row.args, row.kwargs, row.options)
    if shown is None:
        messages.error(request, "Nothing was done: its arguments cannot be read.")
        return HttpResponseRedirect(request.get_full_path())
    if shown.is_redacted:
        page.require(request, SEES_ALL)
    if "confirmed" not in request.POST:
        if shown.is_redacted:
            write_down(request, Job, job_id.hex, "Saw redacted arguments")
        return form(page, request, row, indented(row.args), indented(row.kwargs))
    texts = request.POST.get("args", ""), request.POST.get("kwargs", "")
    try:
        args, kwargs = read(texts[0], "positional arguments", list), read(texts[1], "arguments by name", dict)
        if HIDDEN in "".join(texts) and HIDDEN not in row.args + row.kwargs:
            raise ValueError(f"{HIDDEN} stands where a value is hidden, and is none itself")
        made = operations.enqueue_again(job_id, args=args, kwargs=kwargs, actor=actor(request), using=using)
    except WRONG as error:
        return form(page, request, row, *texts, wrong=str(error).rstrip("."))
    if made.existing:
        messages.warning(request, f"Nothing was enqueued: job {made.id} has its unique key, and this is that job.")
    else:
        write_down(request, Job, job_id.hex, f"Ran again with other arguments: job {made.id}")
        messages.success(request, f"Enqueued job {made.id} with these arguments.")
    return HttpResponseRedirect(links.of_job(made.id) or request.get_full_path())


def form(page: Page, request: HttpRequest, row: JobRow, args: str, kwargs: str, wrong: str = "") -> HttpResponse:
    """Shows the arguments to be changed, with what was wrong about them."""
    about = {"row": row, "args": args, "kwargs": kwargs, "wrong": wrong, "back": request.get_full_path()}
    return page.show(request, "again.html", f"Run {row.task_name} again", **about)


def indented(text: str) -> str:
    """Returns JSON as people read it."""
    return json.dumps(json.loads(text), ensure_ascii=False, indent=2)


def read(text: str, what: str, kind: type) -> Any:
    """Returns what JSON means; raises ValueError where it is none, or of another kind."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"the {what} are too deep") from None
    except ValueError as error:
        raise ValueError(f"the {what} are no JSON: {error}") from None
    if not isinstance(value, kind):
        raise ValueError(f"the {what} are a JSON {'list' if kind is list else 'object'}, and this is none")
    return value
