"""Every reason why a job is where it is, what the state shows first."""

from __future__ import annotations

from gristmill.inspect.explaining.answer import Explanation, Reason
from gristmill.inspect.explaining.gates import gate_reasons
from gristmill.inspect.explaining.life import cancel_asked, date, dependents, held, propagations, result, running
from gristmill.inspect.explaining.line import in_line, nobody_serves, paused
from gristmill.inspect.explaining.look import Look
from gristmill.inspect.explaining.roots import failed_above


def explained(look: Look) -> Explanation:
    """Says where a job is and why."""
    job, reasons = look.job, reasons_of(look)
    named = (job.id.hex, job.task_name, job.backend, job.queue_name)
    return Explanation(*named, state=job.state, headline=reasons[0].sentence, reasons=reasons)


def reasons_of(look: Look) -> list[Reason]:
    """Returns every reason, what the state shows first."""
    state = look.job.state
    if state == "running":
        return [running(look), *cancel_asked(look), *dependents(look), *propagations(look)]
    if look.job.finished_at is not None:
        return [result(look), *dependents(look), *propagations(look)]
    reasons = [held(look)] if state == "held" else []
    if state in ("held", "stranded", "waiting"):
        reasons += gate_reasons(look)
    if state == "stranded":
        reasons += failed_above(look)
    reasons += date(look)
    if state == "ready":
        stops = [*paused(look), *nobody_serves(look)]
        # Without a worker it is in nobody's line.
        reasons += stops or [in_line(look)]
    else:
        reasons += [*paused(look), *nobody_serves(look)]
    if not reasons:
        # Between two looks it has moved on; the state that was read is what can be told.
        reasons.append(Reason(state, f"{state.capitalize()}; a worker moves it on in a moment."))
    return [*reasons, *cancel_asked(look), *dependents(look), *propagations(look)]
