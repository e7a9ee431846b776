-- statements: 9
-- Gives jobs that have not started another priority, another queue, or both, wherever they are kept until then.
-- ?1 job ids, as a list
-- ?2 actor
-- ?3 priority, or null for the one that each has
-- ?4 queue name, or null for the one that each has
-- ?5 backends that have that queue, as a list; null for any
-- ?6 now, or null for this machine's clock
-- Gives (id, token, changed, or "refused: " and why). A job that is missing has started or ended.
-- Index: primary keys, one probe a job and place.
create temp table if not exists gristmill_changing (id text primary key, token integer, done text) without rowid;

delete from temp.gristmill_changing;

insert into temp.gristmill_changing (id, token, done)
select
    id,
    token,
    case
        when ?4 is not null and ?5 is not null and backend not in (select value from json_each(?5))
            then 'refused: its backend has no such queue'
        when priority = coalesce(cast(?3 as integer), priority) and queue_name = coalesce(?4, queue_name)
            then 'refused: it is like that already'
        else 'changed'
    end
from (
    select id, token, backend, queue_name, priority
    from gristmill_ready
    where id in (select replace(lower(value), '-', '') from json_each(?1))
    union all
    select id, token, backend, queue_name, priority
    from gristmill_scheduled
    where id in (select replace(lower(value), '-', '') from json_each(?1))
    union all
    select id, token, backend, queue_name, priority
    from gristmill_waiting
    where id in (select replace(lower(value), '-', '') from json_each(?1))
)
where ?2 is not null;

update gristmill_job indexed by sqlite_autoindex_gristmill_job_1
set priority = coalesce(cast(?3 as integer), priority),
    queue_name = coalesce(?4, queue_name)
where id in (select id from temp.gristmill_changing where done = 'changed')
    and ?1 is not null
    and ?2 is not null;

update gristmill_ready
set priority = coalesce(cast(?3 as integer), priority),
    queue_name = coalesce(?4, queue_name)
where id in (select id from temp.gristmill_changing where done = 'changed')
    and ?1 is not null
    and ?2 is not null;

update gristmill_scheduled
set priority = coalesce(cast(?3 as integer), priority),
    queue_name = coalesce(?4, queue_name)
where id in (select id from temp.gristmill_changing where done = 'changed')
    and ?1 is not null
    and ?2 is not null;

update gristmill_waiting
set priority = coalesce(cast(?3 as integer), priority),
    queue_name = coalesce(?4, queue_name)
where id in (select id from temp.gristmill_changing where done = 'changed')
    and ?1 is not null
    and ?2 is not null;

insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
select lower(hex(randomblob(16))), id, 'change', token, ?2, coalesce(?6, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from temp.gristmill_changing
where done = 'changed'
    and ?1 is ?1
    and ?3 is ?3
    and ?4 is ?4
    and ?5 is ?5;

select id, token, done
from temp.gristmill_changing
order by id;
