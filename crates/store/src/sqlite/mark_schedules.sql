-- Moves schedules on once their ticks are written down.
-- ?1 backend
-- ?2 schedules: [{name, high_water or null, next_at or null, problem or null}]
-- Gives nothing.
-- Index: gristmill_schedule's primary key, one probe a schedule. The high-water mark never goes back.
-- The limit, which is none, has SQLite read the list on its own: it would go through all schedules otherwise.
update gristmill_schedule
set high_water = coalesce(max(gristmill_schedule.high_water, seen.high_water), gristmill_schedule.high_water, seen.high_water),
    next_at = seen.next_at,
    problem = seen.problem
from (
    select
        json_extract(value, '$.name') as name,
        json_extract(value, '$.high_water') as high_water,
        json_extract(value, '$.next_at') as next_at,
        json_extract(value, '$.problem') as problem
    from json_each(?2)
    limit -1
) as seen
where gristmill_schedule.backend = ?1
    and gristmill_schedule.name = seen.name
