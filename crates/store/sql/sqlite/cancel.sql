-- statements: 15
-- Cancels jobs: those that wait end at once and free their unique keys, for those that run a request is written down, which
-- holds for the attempt of this token and any later one until the job has ended.
-- ?1 job ids, as a list
-- ?2 actor
-- ?3 now, or null for this machine's clock
-- Gives (id, token, cancelled or asked). A job that is missing has ended.
-- Jobs that wait for one that ends are notified later.
-- Index: primary keys, one probe a job and place.
-- What ends is put down in gristmill_ended, as finish.sql does.
insert into gristmill_cancel_request (job_id, token, asked_at)
select id, token, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_running
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and ?2 is not null
on conflict do nothing;

{ended};

delete from temp.gristmill_ended;

insert into temp.gristmill_ended (
    {carried}, run_after, token, generation, counts, first_started_at, next, state, state_reason, retention, now
)
select {place.place}, 'result', 'cancelled', null, job.retention, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_ready as place
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where place.id in (select replace(lower(value), '-', '') from json_each(?1))
    and ?2 is not null
    and job.id = place.id;

insert into temp.gristmill_ended (
    {carried}, run_after, token, generation, counts, first_started_at, next, state, state_reason, retention, now
)
select {place.place}, 'result', 'cancelled', null, job.retention, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_scheduled as place
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where place.id in (select replace(lower(value), '-', '') from json_each(?1))
    and ?2 is not null
    and job.id = place.id;

insert into temp.gristmill_ended (
    {carried}, run_after, token, generation, counts, first_started_at, next, state, state_reason, retention, now
)
select {place.place}, 'result', 'cancelled', null, job.retention, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_waiting as place
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where place.id in (select replace(lower(value), '-', '') from json_each(?1))
    and ?2 is not null
    and job.id = place.id;

{ends};

delete from gristmill_ready
where id in (select id from temp.gristmill_ended);

delete from gristmill_scheduled
where id in (select id from temp.gristmill_ended);

delete from gristmill_waiting
where id in (select id from temp.gristmill_ended);

insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
select lower(hex(randomblob(16))), found.id, 'cancel', found.token, ?2, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from (
    select id, token
    from gristmill_running
    where id in (select replace(lower(value), '-', '') from json_each(?1))
    union all
    select id, token
    from temp.gristmill_ended
) as found;

select id, token, 'asked' as done
from gristmill_running
where id in (select replace(lower(value), '-', '') from json_each(?1))
union all
select id, token, 'cancelled'
from temp.gristmill_ended
order by 1;
