-- statements: 16
-- Sweeps up the cancel requests that no running attempt will carry out: those about jobs that are to run again, which end
-- here, and those about jobs that have ended or are gone, which are dropped.
-- ?1 now
-- ?2 limit
-- Gives how many it swept up.
-- Jobs that wait for one that ends are notified later.
-- Index: primary keys, one probe a request and place; there are as many requests as people have asked for.
-- Reads all of gristmill_cancel_request: past those of jobs that run; the others are what it sweeps up.
-- Chosen once, into a temporary table of this connection: all statements see the same requests.
create temp table if not exists gristmill_stray (job_id text primary key, now text not null) without rowid;

delete from temp.gristmill_stray;

delete from temp.gristmill_ended;

insert into temp.gristmill_stray (job_id, now)
select request.job_id, ?1
from gristmill_cancel_request as request indexed by sqlite_autoindex_gristmill_cancel_request_1
where not exists (
    select 1
    from gristmill_running as running
    where running.id = request.job_id
        and running.token >= request.token
)
order by request.job_id
limit ?2;

insert into temp.gristmill_ended (
    {carried}, run_after, token, generation, counts, first_started_at, next, state, state_reason, retention, now
)
select {place.place}, 'result', 'cancelled', null, job.retention, stray.now
from temp.gristmill_stray as stray
cross join gristmill_ready as place
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where place.id = stray.job_id
    and job.id = stray.job_id;

delete from gristmill_ready
where id in (select job_id from temp.gristmill_stray);

insert into temp.gristmill_ended (
    {carried}, run_after, token, generation, counts, first_started_at, next, state, state_reason, retention, now
)
select {place.place}, 'result', 'cancelled', null, job.retention, stray.now
from temp.gristmill_stray as stray
cross join gristmill_scheduled as place
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where place.id = stray.job_id
    and job.id = stray.job_id;

delete from gristmill_scheduled
where id in (select job_id from temp.gristmill_stray);

insert into temp.gristmill_ended (
    {carried}, run_after, token, generation, counts, first_started_at, next, state, state_reason, retention, now
)
select {place.place}, 'result', 'cancelled', null, job.retention, stray.now
from temp.gristmill_stray as stray
cross join gristmill_waiting as place
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where place.id = stray.job_id
    and job.id = stray.job_id;

delete from gristmill_waiting
where id in (select job_id from temp.gristmill_stray);

{ends};

delete from gristmill_cancel_request
where job_id in (select job_id from temp.gristmill_stray);

select count(*)
from temp.gristmill_stray;
