-- The workers that have neither signed off nor been declared lost.
-- Index: gristmill_worker_live.
-- Reads all of gristmill_worker: of that index, which holds those that live.
select id
from gristmill_worker indexed by gristmill_worker_live
where lost_at is null
    and stopped_at is null
