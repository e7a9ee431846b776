-- Moves schedules on once their ticks are written down.
-- ?1 backend
-- ?2 schedules: [{name, high_water or null, next_at or null, problem or null}]
-- Gives nothing.
-- Index: gristmill_schedule's primary key, one probe a schedule. The high-water mark never goes back.
update gristmill_schedule
set (high_water, next_at, problem) = (
    select
        coalesce(
            max(gristmill_schedule.high_water, json_extract(value, '$.high_water')),
            gristmill_schedule.high_water,
            json_extract(value, '$.high_water')
        ),
        json_extract(value, '$.next_at'),
        json_extract(value, '$.problem')
    from json_each(?2)
    where json_extract(value, '$.name') = gristmill_schedule.name
)
where backend = ?1
    and name in (select json_extract(value, '$.name') from json_each(?2))
