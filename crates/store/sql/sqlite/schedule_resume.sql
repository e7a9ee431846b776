-- Ends the pause of a schedule. Nothing is owed for the time that it was paused.
-- ?1 backend
-- ?2 name
-- ?3 now, or null for this machine's clock
-- Gives the schedule's name; nothing when it was not paused.
-- Index: gristmill_schedule's primary key. What has a problem is not due.
update gristmill_schedule
set paused_at = null,
    paused_reason = null,
    high_water = max(coalesce(high_water, ''), clock.now),
    next_at = iif(problem is null, clock.now, null)
from (select coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000') as now) as clock
where backend = ?1
    and name = ?2
    and paused_at is not null
returning name
