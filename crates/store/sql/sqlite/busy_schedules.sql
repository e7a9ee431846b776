-- Which schedules have made a job that has not ended: one of the last ten, those by hand included.
-- ?1 backend
-- ?2 names, as a list
-- Gives the names.
-- Index: gristmill_tick_made, backwards from a schedule's newest; then primary keys.
select asked.value
from json_each(?2) as asked
where exists (
    select 1
    from (
        select job_id
        from gristmill_tick indexed by gristmill_tick_made
        where backend = ?1
            and schedule = asked.value
            and job_id is not null
        order by nominal desc
        limit 10
    ) as tick
    cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
    left join gristmill_result as ended on ended.id = tick.job_id
    where job.id = tick.job_id
        and ended.id is null
)
