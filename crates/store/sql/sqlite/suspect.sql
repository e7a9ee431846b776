-- First phase of a rescue: marks workers whose lease has run out, or that hold no lock. A heartbeat takes the mark
-- back.
-- ?1 the worker that asks: it never suspects itself
-- ?2 now
-- ?3 ids of the workers that hold no lock, as a list; null where locks cannot be seen and the lease must do
-- Gives the newly suspected.
-- Index: gristmill_worker_live.
-- Reads all of gristmill_worker: of that index, which holds those that live.
update gristmill_worker indexed by gristmill_worker_live
set suspect_at = ?2
where id <> ?1
    and suspect_at is null
    and lost_at is null
    and stopped_at is null
    and case
        when ?3 is null then (julianday(?2) - julianday(heartbeat_at)) * 86400 >= lease_seconds
        else id in (select value from json_each(?3))
    end
returning id
