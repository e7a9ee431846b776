-- statements: 7, packed
-- Takes up propagations that tell what waits for a job what became of it, and notes how far it has come. What sync.sql then
-- changes is committed with it.
-- ?1 now
-- ?2 propagations at most
-- ?3 dependents, shared out among the propagations; each looks at one more than its share, so that who has no more is done
-- Gives, with how many propagations it took up, each (precondition, dependent), packed into one row; one of nulls for none.
-- Index: gristmill_propagation_due from the kind's start; gristmill_edge's primary key, a range a propagation.
-- One writer at a time: nothing is locked, and nothing is left for later.
delete from temp.gristmill_picked;

delete from temp.gristmill_next;

insert into temp.gristmill_picked (id, kind, due_at, job_id, other_id, seen, edges)
select id, kind, due_at, job_id, other_id, seen, max(?3 / count(*) over (), 1)
from (
    select id, kind, due_at, job_id, other_id, seen
    from gristmill_propagation indexed by gristmill_propagation_due
    where kind = 'notify'
        and due_at <= ?1
    order by due_at, id
    limit ?2
);

insert into temp.gristmill_next (propagation_id, precondition_id, dependent_id)
select picked.id, picked.job_id, found.value
from temp.gristmill_picked as picked
cross join json_each((
    select json_group_array(edge.dependent_id)
    from (
        select dependent_id
        from gristmill_edge indexed by sqlite_autoindex_gristmill_edge_1
        where precondition_id = picked.job_id
            and dependent_id >= coalesce(picked.other_id, picked.seen, '')
            and dependent_id <= coalesce(picked.other_id, 'g')
            and dependent_id is not picked.seen
        order by dependent_id
        limit (select max(edges) + 1 from temp.gristmill_picked)
    ) as edge
)) as found;

delete from gristmill_propagation indexed by gristmill_propagation_due
where (kind, due_at, id) in (
    select picked.kind, picked.due_at, picked.id
    from temp.gristmill_picked as picked
    where (select count(*) from temp.gristmill_next as next where next.propagation_id = picked.id) <= picked.edges
);

update gristmill_propagation indexed by gristmill_propagation_due
set seen = (
    select max(next.dependent_id)
    from temp.gristmill_next as next
    where next.propagation_id = gristmill_propagation.id
)
where (kind, due_at, id) in (select kind, due_at, id from temp.gristmill_picked);

select json_group_array(json_array(picked.propagations, next.precondition_id, next.dependent_id)) as packed
from (select count(*) as propagations from temp.gristmill_picked) as picked
left join temp.gristmill_next as next;
