-- statements: 4
-- Gives jobs of this enqueue what they wait for: a gate each, an edge for each precondition, and a propagation to resolve
-- them.
-- Nobody but this transaction knows the jobs made in it, so one that waits only for such needs not be resolved.
-- ?1 gates: [{jobs: [ids], after: [ids], after_new: [ids of jobs made in this transaction], needed or null,
--      on_precondition_failure}]; the jobs of one gate wait alike, and no job is in two, and each precondition is named once;
--      unknown_jobs.sql has looked for those of after
-- ?2 when they were asked for
-- Index: primary keys, one probe a row. A gate is read out of the JSON once, and not for each of its jobs.
with asked as materialized (
    select json_extract(value, '$.jobs') as jobs, json_extract(value, '$.after') as preconditions
    from json_each(?1)
    where ?2 is not null
)
insert into gristmill_edge (precondition_id, dependent_id)
select wanted.value, job.value
from asked
cross join json_each(asked.jobs) as job
cross join json_each(asked.preconditions) as wanted;

with asked as materialized (
    select json_extract(value, '$.jobs') as jobs, json_extract(value, '$.after_new') as preconditions
    from json_each(?1)
    where ?2 is not null
)
insert into gristmill_edge (precondition_id, dependent_id)
select wanted.value, job.value
from asked
cross join json_each(asked.jobs) as job
cross join json_each(asked.preconditions) as wanted;

with asked as materialized (
    select
        json_extract(value, '$.jobs') as jobs,
        json_extract(value, '$.needed') as needed,
        coalesce(json_extract(value, '$.on_precondition_failure'), 'strand') as on_precondition_failure,
        json_array_length(value, '$.after') as old,
        json_array_length(value, '$.after_new') as new
    from json_each(?1)
)
insert into gristmill_gate (job_id, needed, on_precondition_failure, epoch, armed_at, resolved, open, successful, failed)
select job.value, needed, on_precondition_failure, 1, ?2, old = 0 and new > 0, old + new, 0, 0
from asked
cross join json_each(asked.jobs) as job;

with asked as materialized (
    select json_extract(value, '$.jobs') as jobs
    from json_each(?1)
    where json_array_length(value, '$.after') > 0
        or json_array_length(value, '$.after_new') = 0
)
insert into gristmill_propagation (kind, job_id, due_at)
select 'resolve', job.value, ?2
from asked
cross join json_each(asked.jobs) as job;
