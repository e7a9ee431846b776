-- Which schedules have made a job that has not ended: one of the last ten, those by hand included.
-- $1 backend
-- $2 names, as a list
-- Gives the names. Asked once the schedules are locked, so that it sees what was made before them.
-- Index: gristmill_tick_made, backwards from a schedule's newest; then primary keys.
select asked.name
from json_array_elements_text($2::json) as asked (name)
where exists (
    select
    from (
        select job_id
        from gristmill_tick
        where backend = $1
            and schedule = asked.name
            and job_id is not null
        order by nominal desc
        limit 10
    ) as tick
    where exists (select from gristmill_job where id = tick.job_id offset 0)
        and not exists (select from gristmill_result where id = tick.job_id offset 0)
)
