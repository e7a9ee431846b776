-- Pauses a schedule, or gives the pause another reason: it does not tick any more.
-- $1 backend
-- $2 name
-- $3 reason
-- $4 now, or null for the server's clock
-- Gives the schedule's name; nothing when there is none.
-- Index: gristmill_schedule's primary key. Waits for a round of ticks that is under way.
update gristmill_schedule
set paused_at = coalesce($4::timestamp at time zone 'utc', clock_timestamp()),
    paused_reason = $3
where backend = $1
    and name = $2
returning name
