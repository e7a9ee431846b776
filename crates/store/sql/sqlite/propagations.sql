-- Which kinds of propagations are due: whether one notifies, one resolves or evaluates, one has a cycle to look for,
-- one raises deadlines.
-- ?1 now
-- Index: gristmill_propagation_due, one probe a kind.
select
    exists (
        select 1
        from gristmill_propagation indexed by gristmill_propagation_due
        where kind = 'notify'
            and due_at <= ?1
    ),
    exists (
        select 1
        from gristmill_propagation indexed by gristmill_propagation_due
        where kind = 'resolve'
            and due_at <= ?1
            and not checks
    )
        or exists (
            select 1
            from gristmill_propagation indexed by gristmill_propagation_due
            where kind = 'evaluate'
                and due_at <= ?1
                and not checks
        ),
    exists (
        select 1
        from gristmill_propagation indexed by gristmill_propagation_due
        where kind = 'resolve'
            and due_at <= ?1
            and checks
    )
        or exists (
            select 1
            from gristmill_propagation indexed by gristmill_propagation_due
            where kind = 'evaluate'
                and due_at <= ?1
                and checks
        ),
    exists (
        select 1
        from gristmill_propagation indexed by gristmill_propagation_due
        where kind = 'raise_deadline'
            and due_at <= ?1
    )
