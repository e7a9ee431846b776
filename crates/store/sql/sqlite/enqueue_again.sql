-- statements: 2
-- Writes down beside two jobs that one was enqueued because of the other, with other arguments.
-- ?1 the job that was there
-- ?2 the new one
-- ?3 actor
-- ?4 now, or null for this machine's clock
-- Gives (id, token, enqueued) of the new one. No row: one of them is not there.
-- Index: primary keys, one probe a job.
insert into gristmill_action (id, job_id, verb, token, actor, acted_at, other_id)
select
    lower(hex(randomblob(16))), pair.id, pair.verb, 0, ?3,
    coalesce(?4, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'), pair.other_id
from (
    select former.id, 'enqueue again' as verb, made.id as other_id
    from gristmill_job as former indexed by sqlite_autoindex_gristmill_job_1
    cross join gristmill_job as made indexed by sqlite_autoindex_gristmill_job_1
    where former.id = replace(lower(?1), '-', '')
        and made.id = replace(lower(?2), '-', '')
    union all
    select made.id, 'enqueue', former.id
    from gristmill_job as former indexed by sqlite_autoindex_gristmill_job_1
    cross join gristmill_job as made indexed by sqlite_autoindex_gristmill_job_1
    where former.id = replace(lower(?1), '-', '')
        and made.id = replace(lower(?2), '-', '')
) as pair;

select made.id, 0, 'enqueued'
from gristmill_job as former indexed by sqlite_autoindex_gristmill_job_1
cross join gristmill_job as made indexed by sqlite_autoindex_gristmill_job_1
where former.id = replace(lower(?1), '-', '')
    and made.id = replace(lower(?2), '-', '');
