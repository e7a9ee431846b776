"""What failed above a stranded job, however many levels up: the jobs whose retry heals it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING
from uuid import UUID

from gristmill.inspect.explaining.answer import Reason
from gristmill.inspect.explaining.gates import SHOWN, precondition_ids
from gristmill.inspect.explaining.look import Look, jobs_by_id
from gristmill.inspect.tables import printable
from gristmill.models import GateRow

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
    """Returns the first jobs that ended without success above this one, and whether these are all."""
    found: dict[UUID, Job] = {}
    seen, waiting = {look.job.id}, deque([look.job.id])
    is_all = True
    for _ in range(VISITED):
        if not waiting or len(found) > SHOWN:
            break
        gate = GateRow.objects.using(look.using).filter(pk=waiting.popleft()).first()
        if gate is None:
            continue
        ids = precondition_ids(look, gate, "failed", SHOWN + 1)
        is_all = is_all and gate.failed == len(ids)
        above = jobs_by_id([each for each in ids if each not in seen], look.using)
        seen.update(above)
        for job in sorted(above.values(), key=lambda job: job.id):
            if job.state == "stranded":
                waiting.append(job.id)
            elif job.is_error:
                found[job.id] = job
    return list(found.values())[:SHOWN], is_all and not waiting and len(found) <= SHOWN
