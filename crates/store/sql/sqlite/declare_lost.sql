-- Second phase of a rescue: declares suspects lost that kept silent for three of their own heartbeats; or at once when they
-- hold no lock: then they have ended, and all their runners with them.
-- ?1 the worker that asks: it never declares itself
-- ?2 now
-- ?3 ids of the workers that hold no lock, as a list; null where locks cannot be seen and the lease must do
-- Gives the newly lost. From here on they claim nothing and their heartbeats are refused.
-- Index: gristmill_worker_live.
-- Reads all of gristmill_worker: of that index, which holds those that live.
update gristmill_worker indexed by gristmill_worker_live
set lost_at = ?2,
    idle = 0
where id <> ?1
    and lost_at is null
    and stopped_at is null
    and case
        when ?3 is null
        then heartbeat_at < suspect_at and (julianday(?2) - julianday(suspect_at)) * 86400 >= heartbeat_seconds * 3
        else suspect_at is not null and id in (select value from json_each(?3))
    end
returning id
