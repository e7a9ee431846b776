-- statements: 6
-- Forgets old ticks, but never the newest 20 of a schedule, and none whose job has not ended; then schedules that are
-- long gone from the code and have no ticks left.
-- ?1 now
-- ?2 the retention, in seconds; at least 60 are taken
-- ?3 limit
-- Gives how many ticks it forgot. Of a schedule that is removed or deleted no tick stays for ever.
-- Index: gristmill_tick's primary key, from schedule to schedule, and in each from its oldest tick.
-- Reads all of gristmill_schedule: one row for each schedule that someone has written.
-- Chosen once, into a temporary table of this connection.
create temp table if not exists gristmill_old_tick (
    backend text not null,
    schedule text not null,
    nominal text not null,
    primary key (backend, schedule, nominal)
) without rowid;

delete from temp.gristmill_old_tick;

insert into temp.gristmill_old_tick (backend, schedule, nominal)
with recursive known (backend, schedule) as (
    select *
    from (
        select backend, schedule
        from gristmill_tick
        where backend >= ''
        order by backend, schedule, nominal
        limit 1
    )
    union all
    select next.backend, next.schedule
    from known
    cross join gristmill_tick as next
    where (next.backend, next.schedule, next.nominal) = (
        select *
        from (
            select backend, schedule, nominal
            from gristmill_tick
            where backend = known.backend
                and schedule > known.schedule
            order by schedule, nominal
            limit 1
        )
        union all
        select *
        from (
            select backend, schedule, nominal
            from gristmill_tick
            where backend > known.backend
            order by backend, schedule, nominal
            limit 1
        )
        limit 1
    )
)
select tick.backend, tick.schedule, tick.nominal
from (
    select strftime('%Y-%m-%d %H:%M:%f', ?1, printf('-%.6f seconds', max(60.0, min(3162240000, ?2)))) || '000' as oldest
) as clock
cross join known
left join gristmill_schedule as schedule on schedule.backend = known.backend
    and schedule.name = known.schedule
cross join json_each((
    select json_group_array(first.nominal)
    from (
        select nominal
        from gristmill_tick
        where backend = known.backend
            and schedule = known.schedule
            and nominal <= clock.oldest
        order by nominal
        limit ?3
    ) as first
)) as found
cross join gristmill_tick as tick
where tick.backend = known.backend
    and tick.schedule = known.schedule
    and tick.nominal = found.value
    and tick.found_at <= clock.oldest
    and (
        schedule.name is null
        or schedule.removed_at <= clock.oldest
        or tick.nominal < (
            select shown.nominal
            from gristmill_tick as shown
            where shown.backend = known.backend
                and shown.schedule = known.schedule
            order by shown.nominal desc
            limit 1
            offset 19
        )
    )
    and iif(found.value is null, 0, not exists (
        select 1
        from gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
        left join gristmill_result as ended on ended.id = job.id
        where job.id = tick.job_id
            and ended.id is null
    ))
limit ?3;

delete from gristmill_tick
where (backend, schedule, nominal) in (select backend, schedule, nominal from temp.gristmill_old_tick);

delete from gristmill_schedule
where removed_at <= strftime('%Y-%m-%d %H:%M:%f', ?1, printf('-%.6f seconds', max(60.0, min(3162240000, ?2)))) || '000'
    and origin = 'code'
    and not exists (
        select 1
        from gristmill_tick as tick
        where tick.backend = gristmill_schedule.backend
            and tick.schedule = gristmill_schedule.name
    );

select count(*)
from temp.gristmill_old_tick;
