-- statements: 18
-- Forgets jobs that have ended, with everything about them: those past a retention of their own, and those without one that
-- ended longer ago than the usual one. Nothing that ended less than 60 s ago.
-- ?1 now
-- ?2 the usual retention, in seconds
-- ?3 limit
-- Never one that a job waits for which has not ended: that is looked at again in ten minutes. One with very many
-- preconditions loses some of its edges each time, and goes with the last.
-- Gives how many it forgot.
-- Index: gristmill_result_prune_at and gristmill_result_prune, each from its start; then primary keys.
-- Chosen once, into a temporary table of this connection: all statements forget the same jobs.
create temp table if not exists gristmill_pruned (id text primary key) without rowid;

delete from temp.gristmill_pruned;

insert into temp.gristmill_pruned (id)
select id
from (
    select *
    from (
        select id
        from gristmill_result
        where prune_at <= ?1
            and finished_at <= strftime('%Y-%m-%d %H:%M:%f', ?1, '-60 seconds') || '000'
        order by prune_at, id
        limit ?3
    )
    union all
    select *
    from (
        select id
        from gristmill_result
        where prune_at is null
            and finished_at <= strftime('%Y-%m-%d %H:%M:%f', ?1,
                printf('-%.6f seconds', max(60, min(3162240000, ?2)))) || '000'
        order by finished_at, id
        limit ?3
    )
)
limit ?3;

create temp table if not exists gristmill_needed (id text primary key) without rowid;

delete from temp.gristmill_needed;

insert into temp.gristmill_needed (id)
select pruned.id
from temp.gristmill_pruned as pruned
where exists (
    select 1
    from gristmill_edge as edge indexed by sqlite_autoindex_gristmill_edge_1
    cross join gristmill_job as dependent indexed by sqlite_autoindex_gristmill_job_1
    left join gristmill_result as ended on ended.id = edge.dependent_id
    where edge.precondition_id = pruned.id
        and dependent.id = edge.dependent_id
        and ended.id is null
);

update gristmill_result
set prune_at = strftime('%Y-%m-%d %H:%M:%f', ?1, '+10 minutes') || '000'
where id in (select id from temp.gristmill_needed);

delete from gristmill_edge indexed by sqlite_autoindex_gristmill_edge_1
where (precondition_id, dependent_id) in (
    select edge.precondition_id, edge.dependent_id
    from temp.gristmill_pruned as pruned
    cross join gristmill_edge as edge indexed by gristmill_edge_dependent
    where edge.dependent_id = pruned.id
        and pruned.id not in (select id from temp.gristmill_needed)
    limit 20000
);

delete from temp.gristmill_pruned
where id in (select id from temp.gristmill_needed)
    or exists (select 1 from gristmill_edge as edge indexed by gristmill_edge_dependent where edge.dependent_id = gristmill_pruned.id);

delete from gristmill_gate
where job_id in (select id from temp.gristmill_pruned);

delete from gristmill_attempt
where job_id in (select id from temp.gristmill_pruned);

delete from gristmill_progress
where job_id in (select id from temp.gristmill_pruned);

delete from gristmill_cancel_request
where job_id in (select id from temp.gristmill_pruned);

delete from gristmill_action
where job_id in (select id from temp.gristmill_pruned);

delete from gristmill_unique_key indexed by gristmill_unique_key_job
where job_id in (select id from temp.gristmill_pruned);

delete from gristmill_job indexed by sqlite_autoindex_gristmill_job_1
where id in (select id from temp.gristmill_pruned);

delete from gristmill_result
where id in (select id from temp.gristmill_pruned);

select count(*)
from temp.gristmill_pruned;
