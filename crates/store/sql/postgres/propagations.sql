-- Which kinds of propagations are due: whether one notifies, one resolves or evaluates, one has a cycle to look for,
-- one raises deadlines.
-- $1 now, or null for the server's clock
-- Index: gristmill_propagation_due, one probe a kind.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
)
select
    exists (select from gristmill_propagation where kind = 'notify' and due_at <= clock.now),
    exists (select from gristmill_propagation where kind = 'resolve' and due_at <= clock.now and not checks)
        or exists (select from gristmill_propagation where kind = 'evaluate' and due_at <= clock.now and not checks),
    exists (select from gristmill_propagation where kind = 'resolve' and due_at <= clock.now and checks)
        or exists (select from gristmill_propagation where kind = 'evaluate' and due_at <= clock.now and checks),
    exists (select from gristmill_propagation where kind = 'raise_deadline' and due_at <= clock.now)
from clock
