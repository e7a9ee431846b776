-- Which kinds of errands are due: whether there is one to spread, to settle or judge, to check for a cycle, to hurry.
-- $1 now, or null for the server's clock
-- Index: gristmill_errand_due, one probe a kind.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
)
select
    exists (select from gristmill_errand where kind = 'spread' and due_at <= clock.now),
    exists (select from gristmill_errand where kind = 'settle' and due_at <= clock.now and not checks)
        or exists (select from gristmill_errand where kind = 'judge' and due_at <= clock.now and not checks),
    exists (select from gristmill_errand where kind = 'settle' and due_at <= clock.now and checks)
        or exists (select from gristmill_errand where kind = 'judge' and due_at <= clock.now and checks),
    exists (select from gristmill_errand where kind = 'hurry' and due_at <= clock.now)
from clock
