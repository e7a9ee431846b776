"""What a job waits for: how many preconditions, which first, and what keeps each of those."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from gristmill.inspect.explaining.answer import Reason
from gristmill.inspect.explaining.facts import gate_asked, gate_edges_asked, gate_said, ids_said
from gristmill.inspect.explaining.look import Look
from gristmill.inspect.questions import Question, ask, id_bind
from gristmill.inspect.tables import age, printable
from gristmill.models import GateRow
from gristmill.values.moments import seconds_between

if TYPE_CHECKING:
    from gristmill.models import Job

#: Preconditions that are named, and those that are named of each of them.
SHOWN = 5
SHOWN_BELOW = 2
WAITING = ("waiting", "stranded")


def gate_reasons(look: Look) -> list[Reason]:
    """Says what the job's gate waits for; nothing where it has none or holds."""
    gate = look.facts.gate
    if gate is None:
        if look.job.state == "waiting":
            sentence = "Waits, but for nothing that is written down; manage.py gristmill doctor looks into that."
            return [Reason("gateless", sentence)]
        return []
    reasons = []
    if look.job.state == "stranded" or (verdict(gate) == "hopeless" and gate.on_precondition_failure == "strand"):
        reasons.append(stranded(look, gate))
    elif verdict(gate) != "holds":
        reasons.append(preconditions(look, gate))
    elif look.job.state == "waiting" and gate.resolved:
        reasons.append(Reason("evaluating", "Its preconditions are met; a worker moves it on in a moment."))
    if not gate.resolved:
        sentence = "A worker has yet to look at what became of its preconditions; that takes a moment."
        reasons.append(Reason("unresolved", sentence, {"armed_at": gate.armed_at}))
    return reasons


def preconditions(look: Look, gate: GateRow) -> Reason:
    """Says how many are missing, and names the first that are open."""
    missing = wanted(gate) - done(gate)
    total = gate.open + gate.successful + gate.failed
    some = f"{missing:,} of its" if missing < total else "its"
    sentence = f"Waits for {some} {total:,} preconditions" if total > 1 else "Waits for its precondition"
    if total > 1 and gate.needed is not None:
        sentence = f"Waits for {missing:,} more of its {total:,} preconditions, {gate.open:,} of them open"
    counts = [f"{gate.successful:,} successful" * bool(gate.successful), f"{gate.failed:,} failed" * bool(gate.failed)]
    told = ", ".join(filter(None, counts))
    needs = "" if total < 2 else f"; it needs {needs_words(gate)}"
    named = first(look, gate, "open")
    return Reason(
        "preconditions",
        sentence + (f" ({told})" if told else "") + needs + ".",
        {**facts(gate), "missing": missing, "first": named, "more": max(gate.open - len(named), 0)},
    )


def stranded(look: Look, gate: GateRow) -> Reason:
    """Says which failed, and that it heals."""
    total = gate.open + gate.successful + gate.failed
    named = first(look, gate, "failed")
    what, became = became_words(gate, named)
    if total == 1:
        sentence = f"Stranded: its precondition {became}."
    else:
        sentence = (
            f"Stranded: {gate.failed:,} of its {total:,} preconditions {became}, and it needs {needs_words(gate)}."
        )
    sentence += f" It heals when {what} is retried and succeeds."
    return Reason("stranded", sentence, {**facts(gate), "first": named, "more": max(gate.failed - len(named), 0)})


def became_words(gate: GateRow, named: list[dict[str, Any]]) -> tuple[str, str]:
    """Says what somebody has to retry, and what became of the failed ones: they failed, or what they need did."""
    states = {one["state"] for one in named}
    if gate.failed > len(named) or (len(states) != 1 and "stranded" in states):
        return "what failed", "failed or are stranded"
    if len(states) != 1:
        return "what failed", "failed"
    (state,), one = states, gate.failed == 1
    if state == "stranded":
        return "what failed", "is stranded" if one else "are stranded"
    word = f"{'was' if one else 'were'} {state}" if state in ("cancelled", "poisoned") else "failed"
    return "that" if one else "what failed", word


def facts(gate: GateRow) -> dict[str, Any]:
    """Returns the gate's numbers."""
    names = ("needed", "on_precondition_failure", "open", "successful", "failed", "resolved", "epoch", "armed_at")
    return {name: getattr(gate, name) for name in names}


def wanted(gate: GateRow) -> int:
    """Returns how many of its preconditions the gate needs."""
    total = gate.open + gate.successful + gate.failed
    return min(total if gate.needed is None else gate.needed, total)


def done(gate: GateRow) -> int:
    """Returns how many count as done."""
    return gate.successful + (gate.failed if gate.on_precondition_failure == "proceed" else 0)


def verdict(gate: GateRow) -> str:
    """Returns "holds", "hopeless" or "waits", as the engine evaluates it."""
    if done(gate) >= wanted(gate):
        return "holds"
    proceeds = gate.on_precondition_failure == "proceed"
    return "hopeless" if not proceeds and gate.successful + gate.open < wanted(gate) else "waits"


def needs_words(gate: GateRow) -> str:
    """Says how many it needs."""
    also = ", failed ones count too" if gate.on_precondition_failure == "proceed" else ""
    return ("all of them" if gate.needed is None else "any of them" if gate.needed == 1 else f"{gate.needed:,}") + also


def first(look: Look, gate: GateRow, state: str) -> list[dict[str, Any]]:
    """Names the first preconditions of the job's own gate that are in a state, each with what keeps it."""
    ids = look.facts.gate_first[state][:SHOWN]
    jobs = look.jobs(ids)
    below = waits_below(look, jobs.values())
    named = [named_by(look, job_id, jobs.get(job_id), state) for job_id in ids]
    return [{**one, **below.get(job_id, {})} for job_id, one in zip(ids, named, strict=True)]


def named_by(look: Look, job_id: UUID, job: Job | None, state: str) -> dict[str, Any]:
    """Names a precondition, with where it is in a few words."""
    if job is None:
        return {"id": job_id.hex, "task_name": None, "state": None, "sentence": "it is forgotten"}
    said = brief(look, job)
    if state == "open" and job.finished_at is not None:
        said += "; a worker passes that on in a moment"
    return {"id": job_id.hex, "task_name": job.task_name, "state": job.state, "sentence": said}


def waits_below(look: Look, jobs: Iterable[Job]) -> dict[UUID, dict[str, Any]]:
    """Says of each job that waits itself what it waits for."""
    states = {job.id: "failed" if job.state == "stranded" else "open" for job in jobs if job.state in WAITING}
    gates, edges = gates_of(look, states, SHOWN_BELOW)
    known = look.jobs(job_id for ids in edges.values() for job_id in ids)
    said = {}
    for job_id, gate in gates.items():
        state = states[job_id]
        named = [named_by(look, each, known.get(each), state) for each in edges[job_id]]
        count = gate.failed if state == "failed" else gate.open
        words = ", ".join(f"{short(one['task_name'])} ({one['state'] or 'forgotten'})" for one in named)
        if count > len(named) and named:
            words += f" and {count - len(named):,} more"
        lead = "stranded by" if state == "failed" else "waits for"
        said[job_id] = {"sentence": f"{lead} {words or f'{count:,} jobs'}", "waits_for": named}
    return said


def gates_of(look: Look, states: dict[UUID, str], limit: int) -> tuple[dict[UUID, GateRow], dict[UUID, list[UUID]]]:
    """Returns the gates of some jobs, and the first preconditions of each that are in the state which is asked for."""
    asked: dict[str, Question] = {}
    for job_id, state in states.items():
        pk = id_bind(look.connection, job_id)
        asked[f"gate_{job_id.hex}"] = gate_asked(pk)
        asked[f"edges_{job_id.hex}"] = gate_edges_asked(pk, state, limit)
    said = ask(look.connection, **asked) if asked else {}
    gates = {job_id: gate for job_id in states if (gate := gate_said(said[f"gate_{job_id.hex}"])) is not None}
    return gates, {job_id: ids_said(said[f"edges_{job_id.hex}"]) for job_id in states}


def brief(look: Look, job: Job) -> str:
    """Says in a few words where a job is."""
    if job.state == "running" and job.claimed_at is not None:
        return f"running for {look.length(job.claimed_at)}"
    if job.state == "scheduled" and job.due_at is not None:
        seconds = seconds_between(look.now, job.due_at)
        return f"due in {age(seconds)}" if seconds else f"due since {look.length(job.due_at)}"
    if job.state == "held":
        return f"held: {printable(job.reason)}" if job.reason else "held"
    if job.state == "ready":
        return "ready, in line"
    if job.finished_at is None:
        return job.state
    because = f" ({printable(job.reason)})" if job.reason else ""
    return f"{job.state}{because} {look.ago(job.finished_at)}"


def short(task_name: str | None) -> str:
    """Returns the last part of a task's name."""
    return printable((task_name or "a job").rpartition(".")[2])
