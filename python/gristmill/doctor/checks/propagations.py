"""
Conditions that leave alone what workers are about to bring in line.

PostgreSQL joins against the propagations there are, once a statement. SQLite would look through them for every row,
so it is asked for their ids, which it collects once.
"""

from __future__ import annotations

from gristmill.database.dialects import DIALECTS


def none(vendor: str, kinds: tuple[str, ...], job: str, other: str = "") -> str:
    """Says that no propagation of these kinds is about a job; with `other`, nor about the two of them."""
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    if not DIALECTS[vendor].joins_pages:
        if not other:
            return f"{job} not in (select job_id from gristmill_propagation where kind in ({listed}))"
        return f"""{job} not in (select job_id from gristmill_propagation where kind in ({listed}) and other_id is null)
    and ({job}, {other}) not in (
        select job_id, other_id
        from gristmill_propagation
        where kind in ({listed})
            and other_id is not null
    )"""
    both = f"\n            and (propagation.other_id is null or propagation.other_id = {other})" if other else ""
    return f"""not exists (
        select 1
        from gristmill_propagation as propagation
        where propagation.kind in ({listed})
            and propagation.job_id = {job}{both}
    )"""


def none_told(vendor: str, job: str) -> str:
    """Says that no end of what a job waits for is still being told."""
    if not DIALECTS[vendor].joins_pages:
        return f"""not exists (
        select 1
        from gristmill_edge as edge
        where edge.dependent_id = {job}
            and edge.precondition_id in (select job_id from gristmill_propagation where kind = 'notify')
    )"""
    return f"""not exists (
        select 1
        from gristmill_propagation as propagation
        join gristmill_edge as edge on edge.precondition_id = propagation.job_id
            and edge.dependent_id = {job}
        where propagation.kind = 'notify'
            and (propagation.other_id is null or propagation.other_id = {job})
    )"""


def quiet(vendor: str, job: str) -> str:
    """Says that a gate is resolved and nothing is on its way to it."""
    return f"here.resolved\n    and {none(vendor, ('resolve', 'evaluate'), job)}\n    and {none_told(vendor, job)}"
