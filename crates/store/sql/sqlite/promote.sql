-- statements: 3
-- Moves due jobs from gristmill_scheduled to gristmill_ready, earliest first.
-- ?1 now
-- ?2 limit
-- Gives how many it moved, and the milliseconds until the next one is due: null when none are left, zero when the
-- limit was reached.
-- Index: gristmill_scheduled_promote, from its start. One writer at a time: all three statements see the same due jobs.
insert into gristmill_ready ({place})
select {place}
from gristmill_scheduled indexed by gristmill_scheduled_promote
where run_after <= ?1
order by run_after, id
limit ?2;

select
    count(*),
    case
        when count(*) = ?2 then 0
        else (
            select cast((julianday(run_after) - julianday(?1)) * 86400000 as integer) + 1
            from gristmill_scheduled indexed by gristmill_scheduled_promote
            where run_after > ?1
            order by run_after, id
            limit 1
        )
    end
from (
    select id
    from gristmill_scheduled indexed by gristmill_scheduled_promote
    where run_after <= ?1
    order by run_after, id
    limit ?2
);

delete from gristmill_scheduled
where id in (
    select id
    from gristmill_scheduled indexed by gristmill_scheduled_promote
    where run_after <= ?1
    order by run_after, id
    limit ?2
);
