-- Brings edges in line with their preconditions, counts them in their gates, and has the gates that changed judged: what may go
-- goes, what cannot any more is stranded or fails, what can again is healed, and what had been let go and has not started
-- waits again where it needs all. Runs after spread.sql or settle.sql, in their transaction.
-- ?1 edges: [{precondition_id, dependent_id}]
-- ?2 gates to judge even if no edge changes: [{job_id, settled: all their edges have been held}]
-- ?3 whether the edges are being settled: an edge of another arming than its gate's is taken over if it still counts
-- ?4 now
-- Gives what was done by band: (what, backend, queue_name, task_name, priority, earliest deadline, jobs), packed into one row.
-- Index: primary keys, one probe an edge, gate and place. A cross join keeps the edges outermost; an update that joins may
-- walk over the whole table, so those that need more than an id look it up.
create temp table if not exists gristmill_held (
    precondition_id text not null,
    dependent_id text not null,
    old_state text not null,
    old_arming integer not null,
    state text not null,
    arming integer not null,
    current integer not null,
    primary key (dependent_id, precondition_id)
) without rowid;

create temp table if not exists gristmill_judged (id text primary key, settled integer not null) without rowid;

create temp table if not exists gristmill_verdict (
    id text primary key,
    needs_all integer not null,
    on_failure text not null,
    holds integer not null,
    is_hopeless integer not null
) without rowid;

create temp table if not exists gristmill_moved (
    id text primary key,
    what text not null,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    priority integer not null,
    deadline text not null,
    awaited integer not null,
    stranded integer not null
) without rowid;

delete from temp.gristmill_held;

delete from temp.gristmill_judged;

delete from temp.gristmill_verdict;

delete from temp.gristmill_moved;

insert or ignore into temp.gristmill_held (
    precondition_id, dependent_id, old_state, old_arming, state, arming, current
)
select
    edge.precondition_id,
    edge.dependent_id,
    edge.state,
    edge.arming,
    case
        when job.id is null and edge.state <> 'open' then edge.state
        when result.state = 'successful' then 'successful'
        when result.id is not null or waiting.stranded or job.id is null then 'failed'
        else 'open'
    end,
    case
        when not ?3 or gate.settled or edge.arming = gate.arming then edge.arming
        when result.finished_at > gate.armed_at then gate.arming
        when result.id is null and job.id is not null then gate.arming
        else 0
    end,
    gate.arming
from json_each(?1) as pair
cross join gristmill_edge as edge
cross join gristmill_gate as gate
left join gristmill_job as job on job.id = edge.precondition_id
left join gristmill_result as result on result.id = edge.precondition_id
left join gristmill_waiting as waiting on waiting.id = edge.precondition_id
where edge.precondition_id = json_extract(pair.value, '$.precondition_id')
    and edge.dependent_id = json_extract(pair.value, '$.dependent_id')
    and gate.job_id = edge.dependent_id
    and ?2 is not null;

delete from temp.gristmill_held
where state = old_state
    and arming = old_arming;

update gristmill_edge
set (state, arming) = (
    select held.state, held.arming
    from temp.gristmill_held as held
    where held.dependent_id = gristmill_edge.dependent_id
        and held.precondition_id = gristmill_edge.precondition_id
)
where (precondition_id, dependent_id) in (select precondition_id, dependent_id from temp.gristmill_held);

insert into temp.gristmill_judged (id, settled)
select json_extract(judged.value, '$.job_id'), max(json_extract(judged.value, '$.settled'))
from json_each(?2) as judged
where ?1 is not null
group by 1;

insert or ignore into temp.gristmill_judged (id, settled)
select distinct dependent_id, 0
from temp.gristmill_held;

update gristmill_gate
set (open, successful, failed) = (
    select
        gristmill_gate.open
            + sum((arming = current and state = 'open') - (old_arming = current and old_state = 'open')),
        gristmill_gate.successful
            + sum((arming = current and state = 'successful') - (old_arming = current and old_state = 'successful')),
        gristmill_gate.failed
            + sum((arming = current and state = 'failed') - (old_arming = current and old_state = 'failed'))
    from temp.gristmill_held
    where dependent_id = gristmill_gate.job_id
)
where job_id in (select dependent_id from temp.gristmill_held);

update gristmill_gate
set settled = 1
where job_id in (select id from temp.gristmill_judged where settled);

insert into temp.gristmill_verdict (id, needs_all, on_failure, holds, is_hopeless)
select
    gate.job_id,
    gate.needed is null,
    gate.on_failure,
    gate.successful + iif(gate.on_failure = 'proceed', gate.failed, 0)
        >= min(coalesce(gate.needed, gate.open + gate.successful + gate.failed), gate.open + gate.successful + gate.failed),
    gate.on_failure <> 'proceed'
        and gate.successful + gate.open
            < min(coalesce(gate.needed, gate.open + gate.successful + gate.failed), gate.open + gate.successful + gate.failed)
from temp.gristmill_judged as judged
cross join gristmill_gate as gate
where gate.job_id = judged.id
    and gate.settled;

insert into temp.gristmill_moved (
    id, what, backend, queue_name, task_name, priority, deadline, awaited, stranded
)
select
    waiting.id,
    case
        when verdict.holds and not waiting.held then iif(waiting.run_after > ?4, 'scheduled', 'ready')
        when verdict.is_hopeless and verdict.on_failure = 'fail' then 'failed'
        when verdict.is_hopeless then 'stranded'
        else 'healed'
    end,
    waiting.backend, waiting.queue_name, waiting.task_name, waiting.priority, waiting.deadline,
    waiting.awaited, waiting.stranded
from temp.gristmill_verdict as verdict
cross join gristmill_waiting as waiting
where waiting.id = verdict.id
    and ?1 is not null
    and ?2 is not null
    and ?3 is not null
    and (
        (verdict.holds and not waiting.held)
        or (verdict.is_hopeless and verdict.on_failure = 'fail')
        or verdict.is_hopeless <> waiting.stranded
    );

insert into gristmill_ready (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited
)
select
    waiting.id, waiting.backend, waiting.queue_name, waiting.task_name, waiting.priority, waiting.run_after,
    waiting.deadline, waiting.token, waiting.generation,
    waiting.failures, waiting.crashes, waiting.losses, waiting.postpones, waiting.interruptions, waiting.started_at,
    waiting.awaited
from temp.gristmill_moved as moved
cross join gristmill_waiting as waiting
where waiting.id = moved.id
    and moved.what = 'ready';

insert into gristmill_scheduled (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited
)
select
    waiting.id, waiting.backend, waiting.queue_name, waiting.task_name, waiting.priority, waiting.run_after,
    waiting.deadline, waiting.token, waiting.generation,
    waiting.failures, waiting.crashes, waiting.losses, waiting.postpones, waiting.interruptions, waiting.started_at,
    waiting.awaited
from temp.gristmill_moved as moved
cross join gristmill_waiting as waiting
where waiting.id = moved.id
    and moved.what = 'scheduled';

insert into gristmill_result (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited, finished_at, state, reason, prune_at
)
select
    waiting.id, waiting.backend, waiting.queue_name, waiting.task_name, waiting.priority, waiting.run_after,
    waiting.deadline, waiting.token, waiting.generation,
    waiting.failures, waiting.crashes, waiting.losses, waiting.postpones, waiting.interruptions, waiting.started_at,
    waiting.awaited, ?4, 'failed', 'precondition failed',
    case
        when json_valid(job.options) and json_extract(job.options, '$.retention') is not null
        then strftime('%Y-%m-%d %H:%M:%f', ?4, printf('+%.6f seconds',
            max(60, min(3162240000, json_extract(job.options, '$.retention'))))) || '000'
    end
from temp.gristmill_moved as moved
cross join gristmill_waiting as waiting
cross join gristmill_job as job
where waiting.id = moved.id
    and moved.what = 'failed'
    and job.id = moved.id
    and ?1 is not null
    and ?2 is not null
    and ?3 is not null;

delete from gristmill_unique_key
where job_id in (select id from temp.gristmill_moved where what = 'failed')
    and until <> 'pruned'
    and (expires_at is null or expires_at > ?4)
    and ?1 is not null
    and ?2 is not null
    and ?3 is not null;

delete from gristmill_control
where job_id in (select id from temp.gristmill_moved where what = 'failed');

update gristmill_waiting
set stranded = not stranded
where id in (select id from temp.gristmill_moved where what in ('stranded', 'healed'));

delete from gristmill_waiting
where id in (select id from temp.gristmill_moved where what in ('ready', 'scheduled', 'failed'));

insert or ignore into temp.gristmill_moved (
    id, what, backend, queue_name, task_name, priority, deadline, awaited, stranded
)
select
    place.id, 'waiting', place.backend, place.queue_name, place.task_name, place.priority, place.deadline,
    place.awaited, 0
from temp.gristmill_verdict as verdict
cross join gristmill_ready as place
where place.id = verdict.id
    and verdict.needs_all
    and not verdict.holds
    and place.started_at is null;

insert or ignore into temp.gristmill_moved (
    id, what, backend, queue_name, task_name, priority, deadline, awaited, stranded
)
select
    place.id, 'waiting', place.backend, place.queue_name, place.task_name, place.priority, place.deadline,
    place.awaited, 0
from temp.gristmill_verdict as verdict
cross join gristmill_scheduled as place
where place.id = verdict.id
    and verdict.needs_all
    and not verdict.holds
    and place.started_at is null;

insert into gristmill_waiting (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited
)
select
    place.id, place.backend, place.queue_name, place.task_name, place.priority, place.run_after, place.deadline,
    place.token, place.generation,
    place.failures, place.crashes, place.losses, place.postpones, place.interruptions, place.started_at, place.awaited
from temp.gristmill_moved as moved
cross join gristmill_ready as place
where place.id = moved.id
    and moved.what = 'waiting';

insert into gristmill_waiting (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited
)
select
    place.id, place.backend, place.queue_name, place.task_name, place.priority, place.run_after, place.deadline,
    place.token, place.generation,
    place.failures, place.crashes, place.losses, place.postpones, place.interruptions, place.started_at, place.awaited
from temp.gristmill_moved as moved
cross join gristmill_scheduled as place
where place.id = moved.id
    and moved.what = 'waiting';

delete from gristmill_ready
where id in (select id from temp.gristmill_moved where what = 'waiting');

delete from gristmill_scheduled
where id in (select id from temp.gristmill_moved where what = 'waiting');

-- Who was stranded until now counted as failed.
insert into gristmill_errand (kind, job_id, due_at)
select 'spread', id, ?4
from temp.gristmill_moved
where awaited
    and (what in ('stranded', 'healed', 'failed') or stranded)
    and ?1 is not null
    and ?2 is not null
    and ?3 is not null;

-- While it did not wait, nobody who began to wait for it found a circle through it.
insert into gristmill_errand (kind, job_id, checks, due_at)
select 'judge', id, 1, ?4
from temp.gristmill_moved
where what = 'waiting'
    and ?1 is not null
    and ?2 is not null
    and ?3 is not null;

select json_group_array(json_array(done.what, done.backend, done.queue_name, done.task_name, done.priority, done.deadline, done.jobs)) as packed
from (
    select what, backend, queue_name, task_name, priority, min(deadline) as deadline, count(*) as jobs
    from temp.gristmill_moved
    group by what, backend, queue_name, task_name, priority
) as done;
