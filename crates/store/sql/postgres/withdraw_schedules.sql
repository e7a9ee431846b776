-- Marks schedules as removed: nobody ticks them any more, and people see that they are gone.
-- $1 backend
-- $2 names, as a list
-- $3 now
-- Gives nothing.
-- Index: gristmill_schedule's primary key, one probe a schedule.
update gristmill_schedule as schedule
set removed_at = $3::timestamp at time zone 'utc'
where schedule.backend = $1
    and schedule.name = any (array(select json_array_elements_text($2::json)))
    and schedule.removed_at is null
