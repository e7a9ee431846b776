-- Pauses a queue, or gives the pause another reason: its jobs are not claimed any more.
-- ?1 backend
-- ?2 queue name
-- ?3 reason
-- ?4 now, or null for this machine's clock
-- Gives the queue's name.
insert into gristmill_queue (backend, queue_name, reason, paused_at)
values (?1, ?2, ?3, coalesce(?4, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'))
on conflict (backend, queue_name) do update
set reason = excluded.reason,
    paused_at = excluded.paused_at
returning queue_name
