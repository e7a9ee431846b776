"""I9: what a job waits for exists, and its edge says what became of it."""

from __future__ import annotations

from gristmill.doctor.check import PLACES, RowCheck
from gristmill.doctor.checks.propagations import none

PROBES = "\n".join(f"left join gristmill_{place} as {place} on {place}.id = here.precondition_id" for place in PLACES)
OUTCOME = """case
        when result.state = 'successful' then 'successful'
        when result.id is not null or waiting.stranded then 'failed'
        else 'open'
    end"""
KNOWN = f"coalesce({', '.join(f'{place}.id' for place in PLACES)}) is not null"
AWAITED = f"coalesce({', '.join(f'{place}.awaited' for place in PLACES if place != 'result')})"

CHECKS = (
    RowCheck(
        name="edge without a dependent",
        invariant="I9, I12",
        claim="Who waits is a job.",
        table="gristmill_edge",
        sql="""select {key}
from gristmill_edge as here
left join gristmill_job as job on job.id = here.dependent_id
where {range}
    and job.id is null""",
        says="waits for {precondition_id}, but is no job",
        mend="row",
    ),
    RowCheck(
        name="edge without a gate",
        invariant="I9",
        claim="Who waits has a gate, of this edge's epoch or a later one.",
        table="gristmill_edge",
        sql="""select {key}, here.epoch, gate.epoch
from gristmill_edge as here
join gristmill_job as job on job.id = here.dependent_id
left join gristmill_gate as gate on gate.job_id = here.dependent_id
where {range}
    and (gate.job_id is null or gate.epoch < here.epoch)""",
        columns=("epoch", "gate_epoch"),
        says="waits for {precondition_id} by epoch {epoch}, and its gate's epoch is {gate_epoch}",
        mend="gate",
    ),
    RowCheck(
        name="waiting for what does not exist",
        invariant="I9",
        claim="An open precondition is a job.",
        table="gristmill_edge",
        sql="""select {key}
from gristmill_edge as here
left join gristmill_job as job on job.id = here.precondition_id
where {range}
    and here.state = 'open'
    and job.id is null""",
        says="waits for {precondition_id}, which is no job: it would wait for ever",
        mend="gone",
    ),
    RowCheck(
        name="edge that tells another end",
        invariant="I9",
        claim="An edge tells what became of its precondition.",
        table="gristmill_edge",
        sql=lambda vendor: (
            f"""select {{key}}, here.state, {OUTCOME}
from gristmill_edge as here
{PROBES}
where {{range}}
    and {KNOWN}
    and here.state <> {OUTCOME}
    and {none(vendor, ("notify",), "here.precondition_id", "here.dependent_id")}
    and {none(vendor, ("resolve",), "here.dependent_id", "here.precondition_id")}"""
        ),
        columns=("state", "outcome"),
        says="its edge from {precondition_id} says {state}, and that is {outcome}; no propagation brings it in line",
        mend="notify",
    ),
    RowCheck(
        name="precondition that would not tell",
        invariant="I9",
        claim="A job that somebody waits for knows it, so that its end is told.",
        table="gristmill_edge",
        sql=lambda vendor: (
            f"""select {{key}}
from gristmill_edge as here
{PROBES}
where {{range}}
    and here.state = 'open'
    and not {AWAITED}
    and {none(vendor, ("resolve",), "here.dependent_id", "here.precondition_id")}"""
        ),
        says="waits for {precondition_id}, which does not know it: its end would not be told",
        mend="resolve",
    ),
)
