-- Asks for jobs; the trigger gristmill_job_place puts each in its place: ready, or scheduled when its date is still
-- to come, or waiting when it is held or has preconditions. A job whose unique key another job holds is not made.
-- ?1 jobs: [{id, backend, queue_name, task_name, priority, run_after or null, args, kwargs, options or null,
--      deadline or null, unique_key or null, unique_until, after: [ids] or null, needed or null, on_failure, held}]
-- ?2 now
-- Gives, in the order of the jobs and packed into one row: the moment at which they were asked for, the id of the job
-- that the request got, whether it is one that was there, and a precondition that is unknown, if there is one: then it all
-- has to be undone. No job: the moment alone.
-- Nobody but this transaction knows the jobs made here, so one that waits only for such needs not be settled.
-- Index: gristmill_unique_key's primary key, one probe a key.
create temp table if not exists gristmill_wants (
    dependent_id text not null,
    precondition_id text not null,
    is_new integer not null default 0,
    primary key (dependent_id, precondition_id)
) without rowid;

create temp table if not exists gristmill_asked (id text primary key) without rowid;

delete from temp.gristmill_wants;

delete from temp.gristmill_asked;

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

insert into temp.gristmill_asked (id)
select json_extract(new.value, '$.id')
from json_each(?1) as new
where json_extract(new.value, '$.unique_key') is null
    or exists (
        select 1
        from gristmill_unique_key as held
        where held.key = json_extract(new.value, '$.unique_key')
            and held.job_id = json_extract(new.value, '$.id')
    );

insert or ignore into temp.gristmill_wants (dependent_id, precondition_id)
select json_extract(new.value, '$.id'), precondition.value
from json_each(?1) as new
cross join json_each(new.value, '$.after') as precondition
where json_extract(new.value, '$.id') in (select id from temp.gristmill_asked);

update temp.gristmill_wants
set is_new = 1
where precondition_id in (select id from temp.gristmill_asked);

insert into gristmill_job (
    id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs, options,
    deadline, unique_key, unique_until, waits, held, awaited
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
    iif(json_extract(new.value, '$.unique_key') is null, null, json_extract(new.value, '$.unique_until')),
    exists (select 1 from temp.gristmill_wants where dependent_id = json_extract(new.value, '$.id')),
    coalesce(json_extract(new.value, '$.held'), 0),
    json_extract(new.value, '$.id') in (select precondition_id from temp.gristmill_wants where is_new)
from json_each(?1) as new
where json_extract(new.value, '$.id') in (select id from temp.gristmill_asked);

insert into gristmill_edge (precondition_id, dependent_id)
select precondition_id, dependent_id
from temp.gristmill_wants;

insert into gristmill_gate (job_id, needed, on_failure, arming, armed_at, settled, open, successful, failed)
select
    json_extract(new.value, '$.id'),
    json_extract(new.value, '$.needed'),
    coalesce(json_extract(new.value, '$.on_failure'), 'strand'),
    1, ?2, wanted.is_settled, wanted.edges, 0, 0
from json_each(?1) as new
cross join (
    select dependent_id, count(*) as edges, min(is_new) as is_settled
    from temp.gristmill_wants
    group by dependent_id
) as wanted
where wanted.dependent_id = json_extract(new.value, '$.id');

insert into gristmill_errand (kind, job_id, due_at)
select 'settle', gate.job_id, ?2
from (select distinct dependent_id from temp.gristmill_wants where not is_new) as wanted
cross join gristmill_gate as gate
where gate.job_id = wanted.dependent_id
    and ?1 is not null;

select json_group_array(json_array(?2, got.job_id, got.existing, got.unknown)) as packed
from (
    select
        iif(held.key is null, json_extract(new.value, '$.id'), held.job_id) as job_id,
        held.job_id is not null and held.job_id <> json_extract(new.value, '$.id') as existing,
        (
            select min(wanted.precondition_id)
            from temp.gristmill_wants as wanted
            left join gristmill_job as job on job.id = wanted.precondition_id
            where job.id is null
        ) as unknown
    from (select 1)
    left join json_each(?1) as new
    left join gristmill_unique_key as held on held.key = json_extract(new.value, '$.unique_key')
    order by new.key
) as got;
