-- statements: 13, packed
-- Brings edges in line with their preconditions, counts them in their gates, and has the gates that changed evaluated: what
-- may go goes at once, and gristmill_moved says what is to become of the others. Runs after notify.sql or resolve.sql, in
-- their transaction; sync_rest.sql sees to the others, and is needed seldom.
-- ?1 edges: [{precondition_id, dependent_id}]
-- ?2 gates to evaluate even if no edge changes: [{job_id, resolved: all their edges have been held}]
-- ?3 whether the edges are being resolved: an edge of another epoch than its gate's is taken over if it still counts
-- ?4 now
-- Gives what is done by cursor: (what, backend, queue_name, task_name, priority, earliest deadline, jobs), packed into one row;
-- a "rest" among them says that sync_rest.sql has to run.
-- Index: primary keys, one probe an edge, gate and place. A cross join keeps the edges outermost; an update that joins may
-- walk over the whole table, so those that need more than an id look it up.
delete from temp.gristmill_held;

delete from temp.gristmill_evaluated;

delete from temp.gristmill_verdict;

delete from temp.gristmill_moved;

insert or ignore into temp.gristmill_held (
    precondition_id, dependent_id, old_state, old_epoch, state, epoch, current
)
select *
from (
    select
        edge.precondition_id,
        edge.dependent_id,
        edge.state as old_state,
        edge.epoch as old_epoch,
        case
            when job.id is null and edge.state <> 'open' then edge.state
            when result.state = 'successful' then 'successful'
            when result.id is not null or waiting.stranded or job.id is null then 'failed'
            else 'open'
        end as state,
        case
            when not ?3 or gate.resolved or edge.epoch = gate.epoch then edge.epoch
            when result.finished_at > gate.armed_at then gate.epoch
            when result.id is null and job.id is not null then gate.epoch
            else 0
        end as epoch,
        gate.epoch
    from json_each(?1) as pair
    cross join gristmill_edge as edge indexed by sqlite_autoindex_gristmill_edge_1
    cross join gristmill_gate as gate
    left join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1 on job.id = edge.precondition_id
    left join gristmill_result as result on result.id = edge.precondition_id
    left join gristmill_waiting as waiting on waiting.id = edge.precondition_id
    where edge.precondition_id = json_extract(pair.value, '$.precondition_id')
        and edge.dependent_id = json_extract(pair.value, '$.dependent_id')
        and gate.job_id = edge.dependent_id
        and ?2 is not null
) as held
where state <> old_state
    or epoch <> old_epoch;

update gristmill_edge indexed by sqlite_autoindex_gristmill_edge_1
set (state, epoch) = (
    select held.state, held.epoch
    from temp.gristmill_held as held
    where held.dependent_id = gristmill_edge.dependent_id
        and held.precondition_id = gristmill_edge.precondition_id
)
where (precondition_id, dependent_id) in (select precondition_id, dependent_id from temp.gristmill_held);

insert into temp.gristmill_evaluated (id, resolved)
select json_extract(evaluated.value, '$.job_id'), max(json_extract(evaluated.value, '$.resolved'))
from json_each(?2) as evaluated
where ?1 is not null
group by 1;

update gristmill_gate
set (open, successful, failed, resolved) = (
    select
        gristmill_gate.open + coalesce(
            sum((epoch = current and state = 'open') - (old_epoch = current and old_state = 'open')), 0),
        gristmill_gate.successful + coalesce(
            sum((epoch = current and state = 'successful') - (old_epoch = current and old_state = 'successful')), 0),
        gristmill_gate.failed + coalesce(
            sum((epoch = current and state = 'failed') - (old_epoch = current and old_state = 'failed')), 0),
        gristmill_gate.resolved or coalesce(
            (select resolved from temp.gristmill_evaluated where id = gristmill_gate.job_id), 0)
    from temp.gristmill_held
    where dependent_id = gristmill_gate.job_id
)
where job_id in (
    select dependent_id
    from temp.gristmill_held
    union
    select id
    from temp.gristmill_evaluated
);

insert into temp.gristmill_verdict (id, needs_all, on_precondition_failure, holds, is_hopeless, waits)
select
    gate.job_id,
    gate.needed is null,
    gate.on_precondition_failure,
    gate.successful + iif(gate.on_precondition_failure = 'proceed', gate.failed, 0)
        >= min(coalesce(gate.needed, gate.open + gate.successful + gate.failed), gate.open + gate.successful + gate.failed),
    gate.on_precondition_failure <> 'proceed'
        and gate.successful + gate.open
            < min(coalesce(gate.needed, gate.open + gate.successful + gate.failed), gate.open + gate.successful + gate.failed),
    exists (select 1 from gristmill_waiting as waiting where waiting.id = gate.job_id)
from (
    select dependent_id as id
    from temp.gristmill_held
    union
    select id
    from temp.gristmill_evaluated
) as evaluated
cross join gristmill_gate as gate
where gate.job_id = evaluated.id
    and iif(evaluated.id is null, 0, gate.resolved);

insert into temp.gristmill_moved (
    id, what, backend, queue_name, task_name, priority, deadline, awaited, stranded
)
select
    waiting.id,
    case
        when verdict.holds and not waiting.held then iif(waiting.run_after > ?4, 'scheduled', 'ready')
        when verdict.is_hopeless and verdict.on_precondition_failure = 'fail' then 'failed'
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
        or (verdict.is_hopeless and verdict.on_precondition_failure = 'fail')
        or verdict.is_hopeless <> waiting.stranded
    );

insert into gristmill_ready ({place})
select {waiting.place}
from temp.gristmill_moved as moved
cross join gristmill_waiting as waiting
where waiting.id = moved.id
    and moved.what = 'ready';

delete from gristmill_waiting
where id in (select id from temp.gristmill_moved where what = 'ready');

select json_group_array(json_array(done.what, done.backend, done.queue_name, done.task_name, done.priority, done.deadline, done.jobs)) as packed
from (
    select what, backend, queue_name, task_name, priority, min(deadline) as deadline, count(*) as jobs
    from temp.gristmill_moved
    group by what, backend, queue_name, task_name, priority
    union all
    select 'rest', '', '', '', 0, '', 1
    where exists (select 1 from temp.gristmill_moved where what <> 'ready' or (stranded and awaited))
        or exists (select 1 from temp.gristmill_verdict where needs_all and not holds and not waits)
) as done;
