-- Asks for jobs; the trigger gristmill_job_place puts each in its place: ready, or scheduled when its date is still
-- to come. A job whose unique key another job holds is not made.
-- ?1 jobs: [{id, backend, queue_name, task_name, priority, run_after or null, args, kwargs, options or null,
--      deadline or null, unique_key or null, unique_until}]
-- ?2 now
-- Gives, in the order of the jobs and packed into one row: the moment at which they were asked for, the id of the job
-- that the request got, and whether it is one that was there. No job: the moment alone.
-- Index: gristmill_unique_key's primary key, one probe a key.
delete from gristmill_unique_key
where key in (
        select json_extract(new.value, '$.unique_key')
        from json_each(?1) as new
    )
    and expires_at <= ?2;

insert into gristmill_unique_key (key, job_id, until)
select
    json_extract(new.value, '$.unique_key'),
    json_extract(new.value, '$.id'),
    json_extract(new.value, '$.unique_until')
from json_each(?1) as new
where json_extract(new.value, '$.unique_key') is not null
on conflict do nothing;

insert into gristmill_job (
    id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs, options,
    deadline, unique_key, unique_until
)
select
    json_extract(new.value, '$.id'),
    json_extract(new.value, '$.backend'),
    json_extract(new.value, '$.queue_name'),
    json_extract(new.value, '$.task_name'),
    json_extract(new.value, '$.priority'),
    json_extract(new.value, '$.run_after'),
    ?2,
    json_extract(new.value, '$.args'),
    json_extract(new.value, '$.kwargs'),
    json_extract(new.value, '$.options'),
    json_extract(new.value, '$.deadline'),
    json_extract(new.value, '$.unique_key'),
    iif(json_extract(new.value, '$.unique_key') is null, null, json_extract(new.value, '$.unique_until'))
from json_each(?1) as new
where json_extract(new.value, '$.unique_key') is null
    or exists (
        select 1
        from gristmill_unique_key as held
        where held.key = json_extract(new.value, '$.unique_key')
            and held.job_id = json_extract(new.value, '$.id')
    );

select json_group_array(json_array(?2, got.job_id, got.existing)) as packed
from (
    select
        iif(held.key is null, json_extract(new.value, '$.id'), held.job_id) as job_id,
        held.job_id is not null and held.job_id <> json_extract(new.value, '$.id') as existing
    from (select 1)
    left join json_each(?1) as new
    left join gristmill_unique_key as held on held.key = json_extract(new.value, '$.unique_key')
    order by new.key
) as got;
