-- Puts the first propagation of each of some kinds off, one of which somebody's transaction holds up: the others are not to
-- wait behind it.
-- ?1 now
-- ?2 kinds, as a list
-- Gives their ids.
-- Index: gristmill_propagation_due from a kind's start.
update gristmill_propagation indexed by gristmill_propagation_due
set due_at = strftime('%Y-%m-%d %H:%M:%f', ?1, '+2 seconds') || '000'
where (kind, due_at, id) in (
    select
        kind.value,
        (
            select first.due_at
            from gristmill_propagation as first indexed by gristmill_propagation_due
            where first.kind = kind.value
                and first.due_at <= ?1
                and not first.checks
            order by first.due_at, first.id
            limit 1
        ),
        (
            select first.id
            from gristmill_propagation as first indexed by gristmill_propagation_due
            where first.kind = kind.value
                and first.due_at <= ?1
                and not first.checks
            order by first.due_at, first.id
            limit 1
        )
    from json_each(?2) as kind
)
returning id
