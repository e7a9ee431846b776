-- statements: 12
-- Settles with the jobs that have these keys, in the order of the keys. "keep" leaves a job, but for an earlier date, which moves
-- it earlier; "replace" gives one that has not started new arguments, options, priority and dates. One that has started
-- only comes sooner, and that where its key is its own until each start. What waits goes on waiting for what it waits for.
-- ?1 conflicts: [{unique_key, on_conflict, priority, args, kwargs, options or null, run_after or run_delay (seconds from now) or
--      neither, deadline or deadline_delay or neither, retention or null, unique_period or null}]
-- ?2 now, or null for this machine's clock
-- Gives (key, job or null, whether it has moved). Null: it has moved on or the key is free, so ask for the job again.
-- Index: primary keys, one probe a key.
create temp table if not exists gristmill_conflict (
    job_id text primary key, unique_key text, place text, to_place text, replaces integer, args text, kwargs text, options text,
    priority integer, run_after text, own_deadline text, deadline text, retention real, unique_period real, now text
) without rowid;

delete from temp.gristmill_conflict;

-- What has a right to its key, and where it is. One that waits is settled with as its key's until says.
insert into temp.gristmill_conflict
select
    asked.job_id, asked.unique_key, asked.place,
    case
        when place in ('running', 'result') or (is_started and until <> 'each_start') then null
        when (on_conflict = 'keep' or is_started)
            and not coalesce(old_run_after > now and coalesce(run_after, now) < old_run_after, 0) then null
        when place = 'waiting' then 'waiting'
        when run_after > now then 'scheduled'
        else 'ready'
    end,
    on_conflict <> 'keep' and not is_started,
    args, kwargs, options, iif(on_conflict <> 'keep' and not is_started, priority, null), run_after, own_deadline,
    coalesce(
        iif(on_conflict <> 'keep' and not is_started, own_deadline, old_deadline),
        strftime('%Y-%m-%d %H:%M:%f', coalesce(run_after, now), '+7 days') || '000'
    ),
    retention, unique_period, now
from (
    select
        held.job_id, held.key as unique_key, held.until,
        case
            when ready.id is not null then 'ready'
            when scheduled.id is not null then 'scheduled'
            when waiting.id is not null then 'waiting'
            when running.id is not null then 'running'
            else 'result'
        end as place,
        coalesce(ready.run_after, scheduled.run_after, waiting.run_after) as old_run_after,
        job.deadline as old_deadline,
        coalesce(ready.started_at, scheduled.started_at, waiting.started_at) is not null as is_started,
        json_extract(new.value, '$.on_conflict') as on_conflict,
        json_extract(new.value, '$.priority') as priority,
        json_extract(new.value, '$.args') as args,
        json_extract(new.value, '$.kwargs') as kwargs,
        json_extract(new.value, '$.options') as options,
        coalesce(
            json_extract(new.value, '$.run_after'),
            strftime('%Y-%m-%d %H:%M:%f', clock.now, json_extract(new.value, '$.run_delay') || ' seconds') || '000'
        ) as run_after,
        coalesce(
            json_extract(new.value, '$.deadline'),
            strftime('%Y-%m-%d %H:%M:%f', clock.now, json_extract(new.value, '$.deadline_delay') || ' seconds') || '000'
        ) as own_deadline,
        json_extract(new.value, '$.retention') as retention,
        json_extract(new.value, '$.unique_period') as unique_period,
        clock.now
    from (select coalesce(?2, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000') as now) as clock
    cross join json_each(?1) as new
    cross join gristmill_unique_key as held
    cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
    left join gristmill_ready as ready on ready.id = held.job_id
    left join gristmill_scheduled as scheduled on scheduled.id = held.job_id
    left join gristmill_waiting as waiting on waiting.id = held.job_id
    left join gristmill_running as running on running.id = held.job_id
    left join gristmill_result as result on result.id = held.job_id
    where held.key = json_extract(new.value, '$.unique_key')
        and job.id = held.job_id
        and (
            ready.id is not null
            or scheduled.id is not null
            or waiting.id is not null
            or (running.id is not null and held.until in ('finished', 'pruned'))
            or (result.id is not null and held.until = 'pruned')
        )
) as asked;

update gristmill_job indexed by sqlite_autoindex_gristmill_job_1
set
    args = (select args from temp.gristmill_conflict where job_id = gristmill_job.id),
    kwargs = (select kwargs from temp.gristmill_conflict where job_id = gristmill_job.id),
    options = (select options from temp.gristmill_conflict where job_id = gristmill_job.id),
    priority = (select priority from temp.gristmill_conflict where job_id = gristmill_job.id),
    run_after = (select run_after from temp.gristmill_conflict where job_id = gristmill_job.id),
    deadline = (select own_deadline from temp.gristmill_conflict where job_id = gristmill_job.id),
    retention = (select retention from temp.gristmill_conflict where job_id = gristmill_job.id),
    unique_period = (select unique_period from temp.gristmill_conflict where job_id = gristmill_job.id),
    enqueued_at = (select now from temp.gristmill_conflict where job_id = gristmill_job.id)
where id in (select job_id from temp.gristmill_conflict where to_place is not null and replaces);

insert into gristmill_scheduled ({carried}, run_after, token, generation, counts, started_at)
select {here.carried}, settled.run_after, here.token, here.generation, here.counts, here.started_at
from temp.gristmill_conflict as settled
cross join gristmill_ready as here
where settled.place = 'ready'
    and settled.to_place = 'scheduled'
    and here.id = settled.job_id;

delete from gristmill_ready
where id in (select job_id from temp.gristmill_conflict where place = 'ready' and to_place = 'scheduled');

insert into gristmill_ready ({carried}, run_after, token, generation, counts, started_at)
select {here.carried}, settled.run_after, here.token, here.generation, here.counts, here.started_at
from temp.gristmill_conflict as settled
cross join gristmill_scheduled as here
where settled.place = 'scheduled'
    and settled.to_place = 'ready'
    and here.id = settled.job_id;

delete from gristmill_scheduled
where id in (select job_id from temp.gristmill_conflict where place = 'scheduled' and to_place = 'ready');

update gristmill_ready
set
    priority = coalesce((select priority from temp.gristmill_conflict where job_id = gristmill_ready.id), priority),
    run_after = (select run_after from temp.gristmill_conflict where job_id = gristmill_ready.id),
    deadline = (select deadline from temp.gristmill_conflict where job_id = gristmill_ready.id)
where id in (select job_id from temp.gristmill_conflict where to_place = 'ready');

update gristmill_scheduled
set
    priority = coalesce((select priority from temp.gristmill_conflict where job_id = gristmill_scheduled.id), priority),
    run_after = (select run_after from temp.gristmill_conflict where job_id = gristmill_scheduled.id),
    deadline = (select deadline from temp.gristmill_conflict where job_id = gristmill_scheduled.id)
where id in (select job_id from temp.gristmill_conflict where to_place = 'scheduled');

update gristmill_waiting
set
    priority = coalesce((select priority from temp.gristmill_conflict where job_id = gristmill_waiting.id), priority),
    run_after = (select run_after from temp.gristmill_conflict where job_id = gristmill_waiting.id),
    deadline = (select deadline from temp.gristmill_conflict where job_id = gristmill_waiting.id)
where id in (select job_id from temp.gristmill_conflict where to_place = 'waiting');

select json_extract(new.value, '$.unique_key'), settled.job_id, coalesce(settled.to_place is not null, 0)
from json_each(?1) as new
left join temp.gristmill_conflict as settled on settled.unique_key = json_extract(new.value, '$.unique_key')
where ?2 is null
    or ?2 is not null;
