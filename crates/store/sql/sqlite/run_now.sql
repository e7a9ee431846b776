-- statements: 5
-- Makes scheduled jobs due now: those that have a date of their own, and those that wait for their next try.
-- ?1 job ids, as a list
-- ?2 actor
-- ?3 now, or null for this machine's clock
-- Gives (id, token, readied). A job that is missing is not scheduled.
-- Index: primary keys, one probe a job.
-- A deadline that followed from the date follows from this one; an earlier one stays.
update gristmill_scheduled
set run_after = coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'),
    deadline = min(
        deadline,
        coalesce(
            (
                select job.deadline
                from gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
                where job.id = gristmill_scheduled.id
            ),
            strftime('%Y-%m-%d %H:%M:%f', coalesce(?3, 'now'), '+7 days') || '000'
        )
    )
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and ?2 is not null;

insert into gristmill_ready ({place})
select {place}
from gristmill_scheduled
where id in (select replace(lower(value), '-', '') from json_each(?1));

insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
select lower(hex(randomblob(16))), id, 'run now', token, ?2, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_scheduled
where id in (select replace(lower(value), '-', '') from json_each(?1));

select id, token, 'readied'
from gristmill_scheduled
where id in (select replace(lower(value), '-', '') from json_each(?1))
order by id;

delete from gristmill_scheduled
where id in (select replace(lower(value), '-', '') from json_each(?1));
