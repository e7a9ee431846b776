-- The workers that have neither signed off nor been declared lost.
-- Index: gristmill_worker_live.
select id::text
from gristmill_worker
where lost_at is null
    and stopped_at is null
