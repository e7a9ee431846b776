"""I1: a job is in exactly one place, and a place has a job."""

from __future__ import annotations

from gristmill.doctor.check import PLACES, RowCheck

PROBES = "\n".join(f"left join gristmill_{place} as {place} on {place}.id = here.id" for place in PLACES)
COUNT = " + ".join(f"case when {place}.id is null then 0 else 1 end" for place in PLACES)

CHECKS = (
    RowCheck(
        name="job without a place",
        invariant="I1",
        claim="A job has a row in one of the five places.",
        table="gristmill_job",
        sql=f"""select {{key}}, here.task_name
from gristmill_job as here
{PROBES}
where {{range}}
    and {COUNT} = 0""",
        columns=("task_name",),
        says="{task_name} is in no place: it will never run, and it has not ended",
        mend="place",
    ),
    RowCheck(
        name="job in several places",
        invariant="I1",
        claim="A job has a row in one of the five places only.",
        table="gristmill_job",
        sql=f"select {{key}}, here.task_name, {COUNT}, "
        + ", ".join(f"{place}.id is not null" for place in PLACES)
        + f"\nfrom gristmill_job as here\n{PROBES}\nwhere {{range}}\n    and {COUNT} > 1",
        columns=("task_name", "places", *PLACES),
        says=lambda row: (
            f"{row['task_name']} is in {row['places']} places at once: "
            + ", ".join(place for place in PLACES if row[place])
        ),
    ),
    *(
        RowCheck(
            name=f"{place} row without a job",
            invariant="I1",
            claim=f"What is in {place} was asked for.",
            table=f"gristmill_{place}",
            sql=f"select {{key}}, here.task_name\nfrom gristmill_{place} as here\n"
            "left join gristmill_job as job on job.id = here.id\nwhere {range}\n    and job.id is null",
            columns=("task_name",),
            says=f"{{task_name}} is in {place}, but nobody asked for it",
            mend="row",
        )
        for place in PLACES
    ),
)
