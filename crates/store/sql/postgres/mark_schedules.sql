-- Moves schedules on once their ticks are written down.
-- $1 backend
-- $2 schedules: [{name, high_water or null, next_at or null, problem or null}]
-- Gives nothing.
-- Index: gristmill_schedule's primary key, one probe a schedule. The high-water mark never goes back.
update gristmill_schedule as schedule
set high_water = greatest(schedule.high_water, seen.high_water at time zone 'utc'),
    next_at = seen.next_at at time zone 'utc',
    problem = seen.problem
from json_to_recordset($2::json) as seen (name text, high_water timestamp, next_at timestamp, problem text)
where schedule.backend = $1
    and schedule.name = any (array(select name from json_to_recordset($2::json) as seen (name text)))
    and schedule.name = seen.name
