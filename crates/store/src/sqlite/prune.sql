-- Forgets jobs that have ended, with everything about them: those past a retention of their own, and those without one that
-- ended longer ago than the usual one. Nothing that ended less than 60 s ago.
-- ?1 now
-- ?2 the usual retention, in seconds
-- ?3 limit
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

delete from gristmill_attempt
where job_id in (select id from temp.gristmill_pruned);

delete from gristmill_progress
where job_id in (select id from temp.gristmill_pruned);

delete from gristmill_control
where job_id in (select id from temp.gristmill_pruned);

delete from gristmill_action
where job_id in (select id from temp.gristmill_pruned);

delete from gristmill_unique_key
where job_id in (select id from temp.gristmill_pruned);

delete from gristmill_job
where id in (select id from temp.gristmill_pruned);

delete from gristmill_result
where id in (select id from temp.gristmill_pruned);

select count(*)
from temp.gristmill_pruned;
