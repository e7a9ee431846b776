-- statements: 14
-- Has a job that has not started wait for more preconditions, under the rule that its gate has, or else for all of them.
-- ?1 job id
-- ?2 preconditions, as a list of job ids
-- ?3 actor
-- ?4 now, or null for this machine's clock
-- Gives (id, token, added, or "refused: " and why). No row: it has started or ended.
-- Index: primary keys, one probe a precondition.
-- The engine holds the edges against the preconditions, and looks whether they close a cycle.
create temp table if not exists gristmill_adding (id text primary key, token integer not null) without rowid;

delete from temp.gristmill_adding;

insert into temp.gristmill_adding (id, token)
select id, token
from gristmill_ready
where id = replace(lower(?1), '-', '')
    and started_at is null
union all
select id, token
from gristmill_scheduled
where id = replace(lower(?1), '-', '')
    and started_at is null
union all
select id, token
from gristmill_waiting
where id = replace(lower(?1), '-', '');

select adding.id, adding.token, iif(unknown.id is null, 'added', 'refused: job ' || unknown.id || ' is unknown, or was forgotten')
from temp.gristmill_adding as adding
cross join (
    select min(replace(lower(wanted.value), '-', '')) as id
    from json_each(?2) as wanted
    left join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1 on job.id = replace(lower(wanted.value), '-', '')
    where job.id is null
        and ?1 is not null
) as unknown;

delete from temp.gristmill_adding
where exists (
    select 1
    from json_each(?2) as wanted
    left join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1 on job.id = replace(lower(wanted.value), '-', '')
    where job.id is null
        and ?1 is not null
);

insert into gristmill_gate (job_id, needed, on_precondition_failure, epoch, armed_at, resolved, open, successful, failed)
select
    adding.id,
    iif(json_valid(job.options), json_extract(job.options, '$.needed'), null),
    coalesce(iif(json_valid(job.options), json_extract(job.options, '$.on_precondition_failure'), null), 'strand'),
    1, coalesce(?4, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'), 0, 0, 0, 0
from temp.gristmill_adding as adding
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where job.id = adding.id
    and ?1 is not null
    and ?2 is not null
    and ?3 is not null
on conflict do nothing;

update gristmill_gate
set open = open + (
    select count(distinct replace(lower(wanted.value), '-', ''))
    from json_each(?2) as wanted
    where ?1 is not null
        and not exists (
            select 1
            from gristmill_edge as edge
            where edge.precondition_id = replace(lower(wanted.value), '-', '')
                and edge.dependent_id = gristmill_gate.job_id
                and edge.epoch = gristmill_gate.epoch
        )
)
where job_id in (select id from temp.gristmill_adding);

-- One that did not count any more does again.
insert into gristmill_edge (precondition_id, dependent_id, epoch)
select distinct replace(lower(wanted.value), '-', ''), gate.job_id, gate.epoch
from temp.gristmill_adding as adding
cross join gristmill_gate as gate
cross join json_each(?2) as wanted
where gate.job_id = adding.id
    and ?1 is not null
on conflict (precondition_id, dependent_id) do update
set epoch = excluded.epoch,
    state = 'open'
where epoch <> excluded.epoch;

insert into gristmill_waiting ({place})
select {place}
from gristmill_ready
where id in (select id from temp.gristmill_adding);

insert into gristmill_waiting ({place})
select {place}
from gristmill_scheduled
where id in (select id from temp.gristmill_adding);

delete from gristmill_ready
where id in (select id from temp.gristmill_adding);

delete from gristmill_scheduled
where id in (select id from temp.gristmill_adding);

insert into gristmill_propagation (kind, job_id, checks, due_at)
select 'resolve', id, 1, coalesce(?4, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from temp.gristmill_adding
where ?1 is not null
    and ?2 is not null
    and ?3 is not null;

insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
select lower(hex(randomblob(16))), id, 'add preconditions', token, ?3, coalesce(?4, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from temp.gristmill_adding
where ?1 is not null
    and ?2 is not null;
