-- statements: 14
-- Passes earlier deadlines on to what jobs wait for, one level: a precondition that waits itself gets a propagation of its
-- own.
-- ?1 now
-- ?2 propagations at most
-- ?3 preconditions, shared out among the propagations
-- Gives how many propagations it took up.
-- Index: gristmill_propagation_due from the kind's start; gristmill_edge_dependent, a range a propagation; places by their
-- primary keys.
delete from temp.gristmill_picked;

delete from temp.gristmill_next;

delete from temp.gristmill_wanted;

insert into temp.gristmill_picked (id, kind, due_at, job_id, other_id, seen)
select id, kind, due_at, job_id, other_id, seen
from gristmill_propagation indexed by gristmill_propagation_due
where kind = 'raise_deadline'
    and due_at <= ?1
order by due_at, id
limit ?2;

update temp.gristmill_picked
set edges = max(?3 / (select count(*) from temp.gristmill_picked), 1)
where ?1 is not null
    and ?2 is not null;

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
)) as found;

insert into temp.gristmill_wanted (id, deadline)
select next.precondition_id, min(waiting.deadline)
from temp.gristmill_next as next
cross join gristmill_waiting as waiting
where waiting.id = next.dependent_id
group by next.precondition_id;

insert into gristmill_propagation (kind, job_id, due_at)
select 'raise_deadline', waiting.id, ?1
from temp.gristmill_wanted as wanted
cross join gristmill_waiting as waiting
where waiting.id = wanted.id
    and waiting.deadline > wanted.deadline;

update gristmill_ready
set deadline = (
    select min(gristmill_ready.deadline, wanted.deadline)
    from temp.gristmill_wanted as wanted
    where wanted.id = gristmill_ready.id
)
where id in (select id from temp.gristmill_wanted);

update gristmill_scheduled
set deadline = (
    select min(gristmill_scheduled.deadline, wanted.deadline)
    from temp.gristmill_wanted as wanted
    where wanted.id = gristmill_scheduled.id
)
where id in (select id from temp.gristmill_wanted);

update gristmill_waiting
set deadline = (
    select min(gristmill_waiting.deadline, wanted.deadline)
    from temp.gristmill_wanted as wanted
    where wanted.id = gristmill_waiting.id
)
where id in (select id from temp.gristmill_wanted);

delete from gristmill_propagation indexed by gristmill_propagation_due
where (kind, due_at, id) in (
    select picked.kind, picked.due_at, picked.id
    from temp.gristmill_picked as picked
    where (select count(*) from temp.gristmill_next as next where next.propagation_id = picked.id) < picked.edges
);

update gristmill_propagation indexed by gristmill_propagation_due
set seen = (
    select max(next.precondition_id)
    from temp.gristmill_next as next
    where next.propagation_id = gristmill_propagation.id
)
where (kind, due_at, id) in (select kind, due_at, id from temp.gristmill_picked);

select count(*)
from temp.gristmill_picked;
