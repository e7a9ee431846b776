-- Sweeps up the cancel requests that no running attempt will carry out: those about jobs that are to run again, which end
-- here, and those about jobs that have ended or are gone, which are dropped.
-- $1 now, or null for the server's clock
-- $2 limit
-- Gives how many it swept up. What someone is moving stays for the next time.
-- Jobs that wait for one that ends are notified later.
-- Index: primary keys, one probe a request and place; there are as many requests as people have asked for.
-- Reads all of gristmill_cancel_request: past those of jobs that run; the others are what it sweeps up.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
stray as materialized (
    select request.job_id
    from gristmill_cancel_request as request
    where not exists (
        select
        from gristmill_running as running
        where running.id = request.job_id
            and running.token >= request.token
        offset 0
    )
    order by request.job_id
    limit $2::bigint
    for update of request skip locked
),
held_key as materialized (
    select held.key, held.job_id
    from stray
    cross join lateral (
        select key, job_id
        from gristmill_unique_key
        where job_id = stray.job_id
            and until <> 'pruned'
            and (expires_at is null or expires_at > (select now from clock))
        offset 0
    ) as held
),
free_key as materialized (
    select held.key
    from held_key
    cross join lateral (
        select key
        from gristmill_unique_key
        where key = held_key.key
        for update skip locked
    ) as held
),
-- Someone holds the key that its end would free.
barred as materialized (
    select job_id as id
    from held_key
    where key not in (select key from free_key)
),
free_ready as materialized (
    select place.id
    from stray
    cross join lateral (
        select id
        from gristmill_ready
        where id = stray.job_id
        for update skip locked
    ) as place
    where stray.job_id not in (select id from barred)
),
left_ready as (
    delete from gristmill_ready as place
    where place.id = any (array(select id from free_ready))
    returning place.*
),
free_scheduled as materialized (
    select place.id
    from stray
    cross join lateral (
        select id
        from gristmill_scheduled
        where id = stray.job_id
        for update skip locked
    ) as place
    where stray.job_id not in (select id from barred)
),
left_scheduled as (
    delete from gristmill_scheduled as place
    where place.id = any (array(select id from free_scheduled))
    returning place.*
),
free_waiting as materialized (
    select place.id
    from stray
    cross join lateral (
        select id
        from gristmill_waiting
        where id = stray.job_id
        for update skip locked
    ) as place
    where stray.job_id not in (select id from barred)
),
left_waiting as (
    delete from gristmill_waiting as place
    where place.id = any (array(select id from free_waiting))
    returning place.*
),
gone as materialized (
    select {place}
    from left_ready
    union all
    select {place}
    from left_scheduled
    union all
    select {place}
    from left_waiting
),
ending as materialized (
    select {gone.place}, 'cancelled' as state, null::text as reason, null::text as fingerprint, job.retention
    from gone
    cross join lateral (
        select retention
        from gristmill_job
        where id = gone.id
        offset 0
    ) as job
),
{ends},
waits as materialized (
    select job_id as id
    from stray
    where exists (select from gristmill_ready where id = stray.job_id offset 0)
        or exists (select from gristmill_scheduled where id = stray.job_id offset 0)
        or exists (select from gristmill_waiting where id = stray.job_id offset 0)
),
swept as (
    delete from gristmill_cancel_request as request
    where request.job_id = any (array(
        select job_id
        from stray
        where job_id not in (select id from gone)
            and job_id not in (select id from waits)
    ))
    returning request.job_id
)
select (select count(*) from swept) + (select count(*) from ending)
