-- statements: 17, packed
-- Takes up propagations that hold the edges of a job against its preconditions, or only have its gate evaluated. Each of the
-- next preconditions is marked as awaited from here on and given the job's deadline where that is earlier. What sync.sql then
-- changes is committed with it.
-- ?1 now
-- ?2 propagations at most, of each of the two kinds
-- ?3 preconditions, shared out among the propagations
-- Gives, with how many propagations it took up, each (precondition, dependent, null) to be held against each other, and each
-- (null, dependent, whether all its edges have been) to be evaluated, packed into one row; one of nulls for none.
-- Index: gristmill_propagation_due from the kind's start; gristmill_edge_dependent, a range a propagation; places by their
-- primary keys.
-- One writer at a time: nothing is locked, and nothing is left for later.
delete from temp.gristmill_picked;

delete from temp.gristmill_next;

delete from temp.gristmill_wanted;

insert into temp.gristmill_picked (id, kind, due_at, job_id, other_id, seen)
select id, kind, due_at, job_id, other_id, seen
from gristmill_propagation indexed by gristmill_propagation_due
where kind = 'resolve'
    and due_at <= ?1
    and not checks
order by due_at, id
limit ?2;

update temp.gristmill_picked
set edges = max(?3 / (select count(*) from temp.gristmill_picked), 1)
where ?1 is not null
    and ?2 is not null;

insert into temp.gristmill_picked (id, kind, due_at, job_id, other_id, seen)
select id, kind, due_at, job_id, other_id, seen
from gristmill_propagation indexed by gristmill_propagation_due
where kind = 'evaluate'
    and due_at <= ?1
    and not checks
order by due_at, id
limit ?2;

insert into temp.gristmill_next (propagation_id, precondition_id, dependent_id)
select picked.id, found.value, picked.job_id
from temp.gristmill_picked as picked
cross join json_each((
    select json_group_array(edge.precondition_id)
    from (
        select precondition_id
        from gristmill_edge indexed by gristmill_edge_dependent
        where dependent_id = picked.job_id
            and precondition_id >= coalesce(picked.other_id, picked.seen, '')
            and precondition_id <= coalesce(picked.other_id, 'g')
            and precondition_id is not picked.seen
        order by precondition_id
        limit (select max(edges) from temp.gristmill_picked)
    ) as edge
)) as found
where picked.kind = 'resolve'
    and exists (select 1 from gristmill_gate as gate where gate.job_id = picked.job_id);

insert into temp.gristmill_wanted (id, deadline)
select next.precondition_id, min(dependent.deadline)
from temp.gristmill_next as next
left join gristmill_waiting as dependent on dependent.id = next.dependent_id
group by next.precondition_id;

insert into gristmill_propagation (kind, job_id, due_at)
select 'raise_deadline', waiting.id, ?1
from temp.gristmill_wanted as wanted
cross join gristmill_waiting as waiting
where waiting.id = wanted.id
    and waiting.deadline > wanted.deadline;

update gristmill_ready
set awaited = 1,
    deadline = (
        select min(gristmill_ready.deadline, coalesce(wanted.deadline, gristmill_ready.deadline))
        from temp.gristmill_wanted as wanted
        where wanted.id = gristmill_ready.id
    )
where id in (select id from temp.gristmill_wanted);

update gristmill_scheduled
set awaited = 1,
    deadline = (
        select min(gristmill_scheduled.deadline, coalesce(wanted.deadline, gristmill_scheduled.deadline))
        from temp.gristmill_wanted as wanted
        where wanted.id = gristmill_scheduled.id
    )
where id in (select id from temp.gristmill_wanted);

update gristmill_waiting
set awaited = 1,
    deadline = (
        select min(gristmill_waiting.deadline, coalesce(wanted.deadline, gristmill_waiting.deadline))
        from temp.gristmill_wanted as wanted
        where wanted.id = gristmill_waiting.id
    )
where id in (select id from temp.gristmill_wanted);

update gristmill_running
set awaited = 1,
    deadline = (
        select min(gristmill_running.deadline, coalesce(wanted.deadline, gristmill_running.deadline))
        from temp.gristmill_wanted as wanted
        where wanted.id = gristmill_running.id
    )
where id in (select id from temp.gristmill_wanted);

update gristmill_result
set awaited = 1
where id in (select id from temp.gristmill_wanted)
    and not awaited;

-- What is taken up to the end has gone from here on; its gate is resolved.
delete from gristmill_propagation indexed by gristmill_propagation_due
where (kind, due_at, id) in (
    select picked.kind, picked.due_at, picked.id
    from temp.gristmill_picked as picked
    where picked.kind = 'evaluate'
        or (select count(*) from temp.gristmill_next as next where next.propagation_id = picked.id) < picked.edges
        or picked.other_id is not null
);

update gristmill_propagation indexed by gristmill_propagation_due
set seen = (
    select max(next.precondition_id)
    from temp.gristmill_next as next
    where next.propagation_id = gristmill_propagation.id
)
where (kind, due_at, id) in (select kind, due_at, id from temp.gristmill_picked);

select json_group_array(json_array(picked.propagations, answer.precondition_id, answer.dependent_id, answer.resolved)) as packed
from (select count(*) as propagations from temp.gristmill_picked) as picked
left join (
    select precondition_id, dependent_id, null as resolved
    from temp.gristmill_next
    union all
    select null, done.job_id, max(done.kind = 'resolve' and done.other_id is null)
    from temp.gristmill_picked as done
    where done.id not in (select id from gristmill_propagation)
    group by done.job_id
) as answer;
