"""Where a job is by itself: held, dated, running, ended; and what is still to be done about it."""

from __future__ import annotations

from typing import Any

from gristmill.inspect.explaining.answer import Reason
from gristmill.inspect.explaining.facts import CAP
from gristmill.inspect.explaining.look import Look, clock, ended
from gristmill.inspect.survey import last_line_in
from gristmill.inspect.tables import age, counted, printable
from gristmill.models import UNCOUNTED_OUTCOMES, UNDONE_OUTCOMES
from gristmill.values.moments import seconds_between


def held(look: Look) -> Reason:
    """Says who holds it, since when and why."""
    job = look.job
    action = look.facts.last_action("hold")
    since = job.enqueued_at if action is None else action.acted_at
    by = printable(action.actor, 200) if action is not None else ""
    sentence = "Held"
    if by:
        sentence += f" by {by}"
    sentence += f" for {look.length(since)}" if action is not None else f" since it was enqueued, {look.ago(since)}"
    sentence += f": {ended(job.reason)}" if job.reason else "."
    details = {"by": by or None, "since": since, "reason": job.reason, "since_enqueued": action is None}
    return Reason("held", sentence, details)


def date(look: Look) -> list[Reason]:
    """Says when it is due, and why then; nothing where its date has come and it has left for good."""
    job = look.job
    if job.due_at is None or (job.state != "scheduled" and job.due_at <= look.now):
        return []
    details: dict[str, Any] = {"due_at": job.due_at, "seconds": seconds_between(look.now, job.due_at)}
    if job.due_at > look.now:
        sentence = f"Due {look.until(job.due_at)}, at {clock(job.due_at)}"
    else:
        sentence = f"Due since {look.length(job.due_at)}; a worker makes it ready in a moment"
    last = look.facts.last
    if last is None:
        return [Reason("date", f"{sentence}.", details)]
    details |= {"last_outcome": last.outcome, "last_reason": last.reason, "failures": job.failures}
    if last.outcome == "postponed":
        sentence += ": it postponed itself" + (f", {ended(last.reason)}" if last.reason else ".")
    elif last.outcome == "failed":
        wrong = last_line_in(last.traceback, last.reason) or "no reason given"
        sentence += f": attempt {job.failures:,} failed, and it is tried again then. {ended(wrong)}"
    elif last.outcome == "incompatible":
        misfits = job.attempts.filter(generation=job.generation, outcome="incompatible").order_by()
        details["tries"] = tries = misfits.values("token")[:CAP].count()
        times = "once" if tries == 1 else f"{tries:,} times"
        sentence += f": it does not fit the code of the worker that had it, {times} now. {ended(last.reason or '')}"
    else:
        sentence += f": its last attempt ended as {printable(last.outcome)}."
    return [Reason("date", sentence, details)]


def running(look: Look) -> Reason:
    """Says since when it runs, where, for which time, and how far it is."""
    job = look.job
    worker = look.facts.workers.get(job.worker_id) if job.worker_id else None
    past = job.attempts.filter(generation=job.generation).exclude(outcome__in=UNCOUNTED_OUTCOMES + UNDONE_OUTCOMES)
    number = past.order_by().values("token")[:CAP].count() + 1
    since = job.claimed_at or look.now
    sentence = f"Running for {look.length(since)}, attempt {number:,}{'+' * (number > CAP)}"
    details: dict[str, Any] = {"since": since, "attempt": number, "worker_id": job.worker_id, "worker": None}
    if worker is None:
        sentence += ", on a worker that is not known any more; another one gives the job back"
    else:
        sentence += f", on {printable(worker.label)} (process {worker.pid} on {printable(worker.host)})"
        silent = seconds_between(worker.heartbeat_at, look.now)
        details |= {"worker": worker.label, "host": worker.host, "pid": worker.pid, "heartbeat_seconds_ago": silent}
        if worker.is_gone:
            sentence += ", which is gone; another worker gives the job back"
        elif silent > worker.lease_seconds:
            sentence += f", which has been silent for {age(silent)}; if it stays so, another worker gives the job back"
    progress = job.progress
    if progress is not None:
        fraction = progress.fraction
        said = [f"{fraction:.0%} done" if fraction is not None else "", printable(progress.message or "")]
        sentence += ". It says: " + ", ".join(filter(None, said)) if any(said) else ""
        details |= {"done": progress.done, "total": progress.total, "message": progress.message}
    return Reason("running", ended(sentence) if len(sentence) < 300 else f"{sentence}.", details)


def cancel_asked(look: Look) -> list[Reason]:
    """Says that it was asked to end."""
    asked_at = look.facts.cancel_asked_at
    if asked_at is None:
        return []
    action = look.facts.last_action("cancel")
    by = f" by {printable(action.actor, 200)}" if action is not None and action.actor else ""
    sentence = f"Asked to end{by}, {look.ago(asked_at)}; its worker sees to it."
    return [Reason("cancel asked", sentence, {"asked_at": asked_at, "by": action.actor if action else None})]


def result(look: Look) -> Reason:
    """Says how it ended, when and why."""
    job = look.job
    when = look.ago(job.finished_at) if job.finished_at is not None else ""
    details: dict[str, Any] = {"finished_at": job.finished_at, "reason": job.reason, "generation": job.generation}
    sentence = f"{job.state.capitalize()} {when}"
    if job.state == "cancelled":
        action = look.facts.last_action("cancel")
        if action is not None and action.actor:
            details["by"] = action.actor
            sentence = f"Cancelled by {printable(action.actor, 200)} {when}"
    elif job.state != "successful":
        last = look.facts.last
        ended_it = last is not None and last.token == job.token
        details["error"] = wrong = last_line_in(last.traceback, last.reason) if last is not None and ended_it else ""
        sentence += f": {printable(job.reason)}" if job.reason else ""
        if wrong and wrong != job.reason:
            sentence += f". {printable(wrong, 300)}"
    return Reason("ended", sentence if sentence.endswith((".", "…")) else f"{sentence}.", details)


def dependents(look: Look) -> list[Reason]:
    """Says how many jobs wait for it."""
    count = look.facts.edge_counts["behind"]
    if not count:
        return []
    who = counted(min(count, CAP), count > CAP)
    wait, them = ("waits", "it") if count == 1 else ("wait", "them")
    sentence = f"{who} {wait} for it, or did; manage.py gristmill graph shows {them}."
    return [Reason("dependents", sentence, {"count": min(count, CAP), "at_least": count > CAP})]


def propagations(look: Look) -> list[Reason]:
    """Says what workers have yet to carry through the graph for it, among the oldest propagations of each kind."""
    found = look.facts.propagations
    if not found:
        return []
    words = {
        "notify": "tell the jobs that wait for it what became of it",
        "resolve": "look at what became of its preconditions",
        "evaluate": "work out whether its preconditions are met",
        "raise_deadline": "pass its deadline on",
    }
    sentence = f"A worker has yet to {' and to '.join(words[kind] for kind in found)}; that takes a moment."
    return [Reason("propagations", sentence, found)]
