-- Forgets old ticks, but never the newest 20 of a schedule, and none whose job has not ended; then schedules that are
-- long gone from the code and have no ticks left.
-- $1 now, or null for the server's clock
-- $2 the retention, in seconds; at least 60 are taken
-- $3 limit
-- Gives how many ticks it forgot. Of a schedule that is removed or deleted no tick stays for ever.
-- Index: gristmill_tick's primary key, from schedule to schedule, and in each from its oldest tick.
-- Reads all of gristmill_schedule: one row for each schedule that someone has written.
with recursive clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp())
        - interval '1 second' * greatest(60, least(3162240000, $2::double precision)) as oldest
),
known as (
    (
        select backend, schedule
        from gristmill_tick
        order by backend, schedule, nominal
        limit 1
    )
    union all
    select next.*
    from known
    cross join lateral (
        select tick.backend, tick.schedule
        from gristmill_tick as tick
        where (tick.backend, tick.schedule) > (known.backend, known.schedule)
        order by tick.backend, tick.schedule, tick.nominal
        limit 1
    ) as next
),
old as materialized (
    select tick.version, tick.job_id
    from known
    cross join clock
    left join lateral (
        select name, removed_at
        from gristmill_schedule
        where backend = known.backend
            and name = known.schedule
        offset 0
    ) as schedule on true
    cross join lateral (
        select oldest.ctid as version, oldest.job_id
        from gristmill_tick as oldest
        where oldest.backend = known.backend
            and oldest.schedule = known.schedule
            and oldest.nominal <= clock.oldest
            and oldest.found_at <= clock.oldest
            and (
                schedule.name is null
                or schedule.removed_at <= clock.oldest
                or oldest.nominal < (
                    select shown.nominal
                    from gristmill_tick as shown
                    where shown.backend = known.backend
                        and shown.schedule = known.schedule
                    order by shown.nominal desc
                    limit 1
                    offset 19
                )
            )
        order by oldest.nominal
        limit $3::bigint
    ) as tick
    limit $3::bigint
),
forgotten as (
    delete from gristmill_tick as tick
    where tick.ctid = any (array(
        select old.version
        from old
        where not exists (select from gristmill_job where id = old.job_id offset 0)
            or exists (select from gristmill_result where id = old.job_id offset 0)
    ))
    returning tick.nominal
),
gone as (
    delete from gristmill_schedule as schedule
    using clock
    where schedule.removed_at <= clock.oldest
        and schedule.origin = 'code'
        and not exists (
            select
            from gristmill_tick as tick
            where tick.backend = schedule.backend
                and tick.schedule = schedule.name
            offset 0
        )
)
select count(*)
from forgotten
