-- statements: 4
-- Puts open attempts that never started back to ready, as if they had not been claimed; their tokens stay spent.
-- A job that is unique until it has started, or until each start, takes its key again, if nobody else has.
-- ?1 attempts: [{id, token}]
-- One with a gate is evaluated anew: while it was claimed, nobody took it back where the gate does not hold any more.
-- Gives the (id, token) that it put back. A token that is not the running row's changes nothing.
-- Index: primary keys, one probe an attempt.
insert into gristmill_ready ({place})
select {running.place}
from json_each(?1) as returned
cross join gristmill_running as running
where running.id = json_extract(returned.value, '$.id')
    and running.token = json_extract(returned.value, '$.token');

insert into gristmill_unique_key (key, job_id, until, expires_at)
select
    job.unique_key,
    job.id,
    job.unique_until,
    strftime('%Y-%m-%d %H:%M:%f', job.enqueued_at, job.unique_period || ' seconds') || '000'
from json_each(?1) as returned
cross join gristmill_running as running
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where running.id = json_extract(returned.value, '$.id')
    and running.token = json_extract(returned.value, '$.token')
    and job.id = running.id
    and iif(returned.value is null, 0, job.unique_until in ('started', 'each_start'))
on conflict do nothing;

insert into gristmill_propagation (kind, job_id, due_at)
select 'evaluate', running.id, running.claimed_at
from json_each(?1) as returned
cross join gristmill_running as running
cross join gristmill_gate as gate
where running.id = json_extract(returned.value, '$.id')
    and running.token = json_extract(returned.value, '$.token')
    and gate.job_id = running.id;

delete from gristmill_running
where id in (
    select running.id
    from json_each(?1) as returned
    cross join gristmill_running as running
    where running.id = json_extract(returned.value, '$.id')
        and running.token = json_extract(returned.value, '$.token')
)
returning id, token;
