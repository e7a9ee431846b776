-- statements: 13
-- Begins a new generation of jobs that have ended: ready at once, with fresh counts, or waiting until its gate has been
-- evaluated anew. The token stays, so that the next claim's is greater. A cancel request goes with the old generation. What
-- waits for the job is told that it is open again.
-- ?1 job ids, as a list
-- ?2 actor
-- ?3 now, or null for this machine's clock
-- Gives (id, token, retried, or "refused: " and why). A job takes its unique key again, and is refused where another
-- has it; unless the key has run out by now, which needs none. A job that is missing has not ended.
-- Index: primary keys, one probe a job.
-- Between the statements a retried job is in both places, which is how the later ones know it.
create temp table if not exists gristmill_keyed (id text primary key, expires_at text) without rowid;

delete from temp.gristmill_keyed;

-- What needs its key again.
insert into temp.gristmill_keyed (id, expires_at)
select *
from (
    select
        job.id,
        strftime('%Y-%m-%d %H:%M:%f', job.enqueued_at, job.unique_period || ' seconds') || '000' as expires_at
    from gristmill_result as result
    cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
    where result.id in (select replace(lower(value), '-', '') from json_each(?1))
        and job.id = result.id
        and job.unique_until <> 'pruned'
        and ?2 is not null
)
where expires_at is null
    or expires_at > coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000');

delete from gristmill_unique_key
where key in (
        select job.unique_key
        from temp.gristmill_keyed as keyed
        cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
        where job.id = keyed.id
            and ?1 is not null
            and ?2 is not null
    )
    and expires_at <= coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000');

insert into gristmill_unique_key (key, job_id, until, expires_at)
select job.unique_key, job.id, job.unique_until, keyed.expires_at
from temp.gristmill_keyed as keyed
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where job.id = keyed.id
order by job.id
on conflict do nothing;

-- Without its date: a retry runs as soon as it may.
insert into gristmill_ready ({carried}, token, generation)
select {result.carried}, result.token, result.generation + 1
from gristmill_result as result
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
    and job.id = result.id
    and not exists (select 1 from gristmill_gate as gate where gate.job_id = result.id)
    and (
        job.id not in (select id from temp.gristmill_keyed)
        or exists (
            select 1
            from gristmill_unique_key as held
            where held.key = job.unique_key
                and held.job_id = job.id
        )
    );

insert into gristmill_waiting ({carried}, token, generation)
select {result.carried}, result.token, result.generation + 1
from gristmill_result as result
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
    and job.id = result.id
    and exists (select 1 from gristmill_gate as gate where gate.job_id = result.id)
    and (
        job.id not in (select id from temp.gristmill_keyed)
        or exists (
            select 1
            from gristmill_unique_key as held
            where held.key = job.unique_key
                and held.job_id = job.id
        )
    );

insert into gristmill_propagation (kind, job_id, checks, due_at)
select 'evaluate', waiting.id, 1, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_result as result
cross join gristmill_waiting as waiting
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
    and waiting.id = result.id
    and ?2 is not null;

insert into gristmill_propagation (kind, job_id, due_at)
select 'notify', result.id, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_result as result
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
    and result.awaited
    and ?2 is not null
    and (
        exists (select 1 from gristmill_ready as ready where ready.id = result.id)
        or exists (select 1 from gristmill_waiting as waiting where waiting.id = result.id)
    );

insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
select lower(hex(randomblob(16))), result.id, 'retry', result.token, ?2, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_result as result
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
    and (
        exists (select 1 from gristmill_ready as ready where ready.id = result.id)
        or exists (select 1 from gristmill_waiting as waiting where waiting.id = result.id)
    );

select
    result.id,
    result.token,
    iif(
        exists (select 1 from gristmill_ready as ready where ready.id = result.id)
            or exists (select 1 from gristmill_waiting as waiting where waiting.id = result.id),
        'retried',
        'refused: another job has its unique key'
    )
from gristmill_result as result
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
order by result.id;

delete from gristmill_cancel_request
where job_id in (
    select result.id
    from gristmill_result as result
    where result.id in (select replace(lower(value), '-', '') from json_each(?1))
        and (
            exists (select 1 from gristmill_ready as ready where ready.id = result.id)
            or exists (select 1 from gristmill_waiting as waiting where waiting.id = result.id)
        )
);

delete from gristmill_result
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and (
        exists (select 1 from gristmill_ready as moved where moved.id = gristmill_result.id)
        or exists (select 1 from gristmill_waiting as moved where moved.id = gristmill_result.id)
    );
