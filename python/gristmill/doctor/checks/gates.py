"""I9: gates, as far as one gate, its edges and its job tell."""

from __future__ import annotations

from functools import partial

from gristmill.doctor.check import RowCheck
from gristmill.doctor.checks.propagations import none, quiet

#: The engine's verdict (core/gate), over a gate named `here`.
TOTAL = "(here.open + here.successful + here.failed)"
NEEDED = f"case when here.needed is null or here.needed > {TOTAL} then {TOTAL} else here.needed end"
DONE = "here.successful + case when here.on_precondition_failure = 'proceed' then here.failed else 0 end"
HOLDS = f"{DONE} >= {NEEDED}"
HOPELESS = f"(here.on_precondition_failure <> 'proceed' and here.successful + here.open < {NEEDED} and not {HOLDS})"

NUMBERS = "here.open, here.successful, here.failed"
NAMES = ("open", "successful", "failed")


def recounted(state: str) -> str:
    """Counts a gate's edges of a state."""
    return f"coalesce(sum(case when edge.state = '{state}' then 1 else 0 end), 0)"


def too_early(place: str, vendor: str) -> str:
    """Finds what got somewhere before its gate held. Any and at least k never go back, so only all is asked."""
    return f"""select {{key}}, place.task_name, {NUMBERS}
from gristmill_gate as here
join gristmill_{place} as place on place.id = here.job_id
where {{range}}
    and here.needed is null
    and place.started_at is null
    and not ({HOLDS})
    and {quiet(vendor, "place.id")}"""


CHECKS = (
    RowCheck(
        name="gate without a job",
        invariant="I9, I12",
        claim="A gate belongs to a job.",
        table="gristmill_gate",
        sql="""select {key}
from gristmill_gate as here
left join gristmill_job as job on job.id = here.job_id
where {range}
    and job.id is null""",
        says="has a gate, but is no job",
        mend="row",
    ),
    RowCheck(
        name="gate counts",
        invariant="I9",
        claim="A gate's counts are those of its edges of its own epoch.",
        table="gristmill_gate",
        sql=lambda vendor: (
            f"""select {{key}}, {NUMBERS}, {recounted("open")}, {recounted("successful")}, {recounted("failed")}
from gristmill_gate as here
left join gristmill_edge as edge on edge.dependent_id = here.job_id
    and edge.epoch = here.epoch
where {{range}}
    and here.resolved
    and {none(vendor, ("resolve",), "here.job_id")}
group by {{key}}, {NUMBERS}
having here.open <> {recounted("open")}
    or here.successful <> {recounted("successful")}
    or here.failed <> {recounted("failed")}"""
        ),
        columns=(*NAMES, "open_edges", "successful_edges", "failed_edges"),
        says="its gate counts {open} open, {successful} successful, {failed} failed; its edges are "
        "{open_edges}, {successful_edges}, {failed_edges}",
        mend="counts",
    ),
    RowCheck(
        name="gate that nobody resolves",
        invariant="I9",
        claim="A gate that is not resolved is about to be.",
        table="gristmill_gate",
        sql=lambda vendor: (
            f"""select {{key}}, here.armed_at
from gristmill_gate as here
join gristmill_waiting as waiting on waiting.id = here.job_id
where {{range}}
    and not here.resolved
    and {none(vendor, ("resolve",), "here.job_id")}"""
        ),
        columns=("armed_at",),
        says="its preconditions have yet to be looked at, and no propagation asks for it",
        mend="resolve",
    ),
    RowCheck(
        name="waiting though its gate holds",
        invariant="I9",
        claim="A job whose preconditions are met moves on.",
        table="gristmill_gate",
        sql=lambda vendor: (
            f"""select {{key}}, waiting.task_name, {NUMBERS}
from gristmill_gate as here
join gristmill_waiting as waiting on waiting.id = here.job_id
where {{range}}
    and not waiting.held
    and {HOLDS}
    and {quiet(vendor, "waiting.id")}"""
        ),
        columns=("task_name", *NAMES),
        says="{task_name} waits, though its preconditions are met ({successful} successful, {failed} failed)",
        mend="evaluate",
    ),
    RowCheck(
        name="hopeless but not stranded",
        invariant="I9",
        claim="A job whose preconditions can no longer be met is stranded, or fails.",
        table="gristmill_gate",
        sql=lambda vendor: (
            f"""select {{key}}, waiting.task_name, here.failed
from gristmill_gate as here
join gristmill_waiting as waiting on waiting.id = here.job_id
where {{range}}
    and not waiting.stranded
    and (here.on_precondition_failure = 'strand' or not waiting.held)
    and {HOPELESS}
    and {quiet(vendor, "waiting.id")}"""
        ),
        columns=("task_name", "failed"),
        says="{task_name} waits as if its preconditions could still be met, and {failed} of them failed",
        mend="evaluate",
    ),
    RowCheck(
        name="stranded but hopeful",
        invariant="I9",
        claim="A stranded job heals when its preconditions can be met again.",
        table="gristmill_gate",
        sql=lambda vendor: (
            f"""select {{key}}, waiting.task_name, {NUMBERS}
from gristmill_gate as here
join gristmill_waiting as waiting on waiting.id = here.job_id
where {{range}}
    and waiting.stranded
    and not {HOPELESS}
    and {quiet(vendor, "waiting.id")}"""
        ),
        columns=("task_name", *NAMES),
        says="{task_name} is stranded, though its preconditions can be met ({open} open, {successful} successful)",
        mend="evaluate",
    ),
    *(
        RowCheck(
            name=f"{place} though its gate does not hold",
            invariant="I9",
            claim="What has never started waits until all its preconditions are met.",
            table="gristmill_gate",
            sql=partial(too_early, place),
            columns=("task_name", *NAMES),
            says=f"{{task_name}} is {place}, though {{open}} of its preconditions are open and {{failed}} failed",
            mend="evaluate",
        )
        for place in ("ready", "scheduled")
    ),
)
