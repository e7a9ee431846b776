-- Gives jobs of this enqueue what they wait for: a gate each, an edge for each precondition, and a propagation to resolve
-- them.
-- Nobody but this transaction knows the jobs made in it, so one that waits only for such needs not be resolved.
-- $1 gates: [{jobs: [ids], after: [ids], after_new: [ids of jobs made in this transaction], needed or null,
--      on_precondition_failure}]; the jobs of one gate wait alike, and no job is in two, and each precondition is named once;
--      unknown_jobs.sql has looked for those of after
-- $2 when they were asked for
-- Index: primary keys, one probe a row.
with clock as materialized (
    select $2::timestamp at time zone 'utc' as now
),
gate as materialized (
    select
        job.value::uuid as id, needed, coalesce(on_precondition_failure, 'strand') as on_precondition_failure, wanted.ids,
        coalesce(cardinality(wanted.ids), 0) as edges, coalesce(wanted.resolved, false) as resolved
    from json_to_recordset($1::json) as asked (
        jobs json, after json, after_new json, needed integer, on_precondition_failure text
    )
    cross join lateral (
        select array_agg(either.id::uuid) as ids, bool_and(is_new) as resolved
        from (
            select value as id, false as is_new
            from json_array_elements_text(asked.after) as value
            union all
            select value, true
            from json_array_elements_text(asked.after_new) as value
        ) as either
    ) as wanted
    cross join lateral json_array_elements_text(asked.jobs) as job
),
joined as (
    insert into gristmill_edge (precondition_id, dependent_id)
    select precondition.id, gate.id
    from gate
    cross join lateral unnest(gate.ids) as precondition (id)
),
gated as (
    insert into gristmill_gate (job_id, needed, on_precondition_failure, epoch, armed_at, resolved, open, successful, failed)
    select id, needed, on_precondition_failure, 1, now, resolved, edges, 0, 0
    from gate
    cross join clock
)
insert into gristmill_propagation (kind, job_id, due_at)
select 'resolve', id, now
from gate
cross join clock
where not resolved
