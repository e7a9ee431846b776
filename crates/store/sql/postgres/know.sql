-- Tells which tasks a worker's code has, once it was loaded anew.
-- $1 worker id
-- $2 task names, a JSON array
-- Index: gristmill_worker's primary key.
update gristmill_worker
set tasks = $2
where id = $1::uuid
    and stopped_at is null
