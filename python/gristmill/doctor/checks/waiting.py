"""I9: what waits, waits for something."""

from __future__ import annotations

from gristmill.doctor.check import RowCheck

CHECKS = (
    RowCheck(
        name="waiting for nothing",
        invariant="I9",
        claim="A job waits because it has a gate or because somebody holds it.",
        table="gristmill_waiting",
        sql="""select {key}, here.task_name
from gristmill_waiting as here
left join gristmill_gate as gate on gate.job_id = here.id
where {range}
    and not here.held
    and gate.job_id is null""",
        columns=("task_name",),
        says="{task_name} waits, but has no gate and nobody holds it: nothing will ever move it on",
        mend="gate",
    ),
)
