-- Puts open attempts that never started back to ready, as if they had not been claimed; their tokens stay spent.
-- A job that is unique until it has started, or until each start, takes its key again, if nobody else has.
-- $1 attempts in order of id: [{id, token}]
-- One with a gate is evaluated anew: while it was claimed, nobody took it back where the gate does not hold any more.
-- Gives the (id, token) that it put back. A token that is not the running row's changes nothing; what someone holds stays
-- for the next time.
-- Index: primary keys, one probe an attempt.
with free as materialized (
    select running.id
    from json_to_recordset($1::json) as returned (id uuid, token bigint)
    cross join lateral (
        select id
        from gristmill_running
        where id = returned.id
            and token = returned.token
        for update skip locked
    ) as running
),
freed as (
    delete from gristmill_running as running
    where running.id = any (array(select id from free))
    returning running.*
),
readied as (
    insert into gristmill_ready ({place})
    select {place}
    from freed
),
evaluated as (
    insert into gristmill_propagation (kind, job_id, due_at)
    select 'evaluate', freed.id, freed.claimed_at
    from freed
    cross join lateral (
        select
        from gristmill_gate
        where job_id = freed.id
        offset 0
    ) as gate
),
relocked as materialized (
    select gristmill_take_back_key(
        job.id, job.unique_key, job.unique_until, job.enqueued_at + job.unique_period * interval '1 second'
    )
    from freed
    cross join lateral (
        select id, unique_key, unique_until, unique_period, enqueued_at
        from gristmill_job
        where id = freed.id
        offset 0
    ) as job
    where job.unique_until in ('started', 'each_start')
)
select id::text, token
from freed
where (select count(*) from relocked) is not null
