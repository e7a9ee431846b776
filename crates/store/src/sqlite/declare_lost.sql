-- Second phase of a rescue: declares suspects lost that kept silent for three of their own heartbeats; or for one,
-- when they hold no lock: then they have ended, and the rest of that time is for their runners to end too.
-- ?1 the worker that asks: it never declares itself
-- ?2 now
-- ?3 ids of the workers that hold no lock, as a list; null where locks cannot be seen and the lease must do
-- Gives the newly lost. From here on they claim nothing and their heartbeats are refused.
-- Index: gristmill_worker_live.
update gristmill_worker
set lost_at = ?2,
    idle = 0
where id <> ?1
    and lost_at is null
    and stopped_at is null
    and heartbeat_at < suspect_at
    and (julianday(?2) - julianday(suspect_at)) * 86400 >= heartbeat_seconds * case when ?3 is null then 3 else 1 end
    and (?3 is null or id in (select value from json_each(?3)))
returning id
