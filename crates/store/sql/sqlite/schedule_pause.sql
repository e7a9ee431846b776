-- Pauses a schedule, or gives the pause another reason: it does not tick any more.
-- ?1 backend
-- ?2 name
-- ?3 reason
-- ?4 now, or null for this machine's clock
-- Gives the schedule's name; nothing when there is none.
-- Index: gristmill_schedule's primary key.
update gristmill_schedule
set paused_at = coalesce(?4, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'),
    paused_reason = ?3
where backend = ?1
    and name = ?2
returning name
