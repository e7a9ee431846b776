-- Marks schedules as removed: nobody ticks them any more, and people see that they are gone.
-- ?1 backend
-- ?2 names, as a list
-- ?3 now
-- Gives nothing.
-- Index: gristmill_schedule's primary key, one probe a schedule.
update gristmill_schedule
set removed_at = ?3
where backend = ?1
    and name in (select value from json_each(?2))
    and removed_at is null
