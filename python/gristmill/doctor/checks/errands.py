"""
Conditions that leave alone what workers are about to bring in line.

PostgreSQL joins against the errands there are, once a statement. SQLite would look through them for every row, so it is
asked for their ids, which it collects once.
"""

from __future__ import annotations


def none(vendor: str, kinds: tuple[str, ...], job: str, other: str = "") -> str:
    """Says that no errand of these kinds is about a job; with `other`, nor about the two of them."""
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    if vendor == "sqlite":
        if not other:
            return f"{job} not in (select job_id from gristmill_errand where kind in ({listed}))"
        return f"""{job} not in (select job_id from gristmill_errand where kind in ({listed}) and other_id is null)
    and ({job}, {other}) not in (
        select job_id, other_id
        from gristmill_errand
        where kind in ({listed})
            and other_id is not null
    )"""
    both = f"\n            and (errand.other_id is null or errand.other_id = {other})" if other else ""
    return f"""not exists (
        select 1
        from gristmill_errand as errand
        where errand.kind in ({listed})
            and errand.job_id = {job}{both}
    )"""


def none_told(vendor: str, job: str) -> str:
    """Says that no end of what a job waits for is still being told."""
    if vendor == "sqlite":
        return f"""not exists (
        select 1
        from gristmill_edge as edge
        where edge.dependent_id = {job}
            and edge.precondition_id in (select job_id from gristmill_errand where kind = 'spread')
    )"""
    return f"""not exists (
        select 1
        from gristmill_errand as errand
        join gristmill_edge as edge on edge.precondition_id = errand.job_id
            and edge.dependent_id = {job}
        where errand.kind = 'spread'
            and (errand.other_id is null or errand.other_id = {job})
    )"""


def quiet(vendor: str, job: str) -> str:
    """Says that a gate is settled and nothing is on its way to it."""
    return f"here.settled\n    and {none(vendor, ('settle', 'judge'), job)}\n    and {none_told(vendor, job)}"
