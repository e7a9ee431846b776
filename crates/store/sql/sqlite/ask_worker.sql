-- Asks a living worker to be quiet or to stop, or has it claim again. It hears of that with its next heartbeat.
-- ?1 worker id
-- ?2 quiet or stop; null: it may claim again
-- ?3 actor
-- ?4 now
-- Gives the id. Nothing: it has ended, it was asked to stop, which nobody takes back, or there is nothing to take back.
-- Index: gristmill_worker's primary key.
update gristmill_worker
set asked = ?2,
    asked_by = case when ?2 is not null then ?3 end,
    asked_at = case when ?2 is not null then ?4 end
where id = ?1
    and lost_at is null
    and stopped_at is null
    and case when ?2 is null then asked = 'quiet' else asked is not 'stop' end
returning id
