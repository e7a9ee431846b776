"""What failed above a stranded job, however many levels up: the jobs whose retry heals it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from gristmill.inspect.explaining.answer import Reason
from gristmill.inspect.explaining.gates import SHOWN, gates_of
from gristmill.inspect.explaining.look import Look
from gristmill.inspect.tables import printable

if TYPE_CHECKING:
    from gristmill.models import Job

#: Stranded jobs whose preconditions are looked through on the way up.
VISITED = 50


def failed_above(look: Look) -> list[Reason]:
    """Names the first jobs that failed above this one, with the command that retries them."""
    found, is_all = roots(look)
    if not found:
        return []
    ids = [job.id.hex for job in found]
    names = list(dict.fromkeys(printable(job.task_name) for job in found)) + ["others"] * (not is_all)
    told = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    became = "failed" if all(job.state == "failed" for job in found) else "did not succeed"
    sentence = f"At the root of it {told} {became}. Once that is mended: manage.py gristmill retry {' '.join(ids)}"
    return [Reason("root", sentence, {"ids": ids, "all": is_all})]


def roots(look: Look) -> tuple[list[Job], bool]:
    """Returns the first jobs that ended without success above this one, and whether these are all: level by level."""
    found: dict[UUID, Job] = {}
    seen = {look.job.id}
    gate = look.facts.gate
    level = {} if gate is None else {look.job.id: (gate, look.facts.gate_first["failed"])}
    is_all, visited = True, 0
    while level and visited < VISITED and len(found) <= SHOWN:
        visited += len(level)
        is_all = is_all and all(gate.failed == len(ids) for gate, ids in level.values())
        above = look.jobs(each for _, ids in level.values() for each in ids if each not in seen)
        seen.update(above)
        stranded = [job_id for job_id, job in sorted(above.items()) if job.state == "stranded"]
        found |= {job_id: job for job_id, job in sorted(above.items()) if job.is_error and job_id not in stranded}
        is_all = is_all and len(stranded) <= VISITED - visited
        gates, edges = gates_of(look, dict.fromkeys(stranded[: VISITED - visited], "failed"), SHOWN + 1)
        level = {job_id: (gate, edges[job_id]) for job_id, gate in gates.items()}
    return list(found.values())[:SHOWN], is_all and not level and len(found) <= SHOWN
