-- Finds those of some ids of which there is no job. The jobs that are there stay until this transaction ends: there is one
-- writer, who is the caller, or has written before the caller can.
-- ?1 ids, as a list
-- Gives (id) of each that is unknown.
-- Index: gristmill_job's primary key, one probe an id.
select distinct wanted.value
from json_each(?1) as wanted
left join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1 on job.id = wanted.value
where job.id is null
order by wanted.value;
