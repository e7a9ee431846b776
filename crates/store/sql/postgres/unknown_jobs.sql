-- Finds those of some ids of which there is no job. The jobs that are there are locked against being forgotten until this
-- transaction ends, and against nothing else: only prune.sql minds, and it passes over.
-- $1 ids, as a list
-- Gives (id) of each that is unknown.
-- Index: gristmill_job's primary key, one probe an id.
with wanted as materialized (
    select distinct value::uuid as id
    from json_array_elements_text($1::json) as value
),
known as materialized (
    select job.id
    from wanted
    cross join lateral (
        select id
        from gristmill_job
        where id = wanted.id
        for key share
    ) as job
)
select id::text
from wanted
where id not in (select id from known)
order by id
