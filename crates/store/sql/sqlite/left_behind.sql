-- Whether any of these workers, which are known to have ended, has an attempt that nobody has ended yet.
-- ?1 ids of workers, as a list
-- Gives one row.
-- Reads all of gristmill_running: up to the first, one row for each job that runs just now.
select exists (
    select 1
    from gristmill_running
    where worker_id in (select value from json_each(?1))
)
