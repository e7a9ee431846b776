-- Which kinds of errands are due: whether there is one to spread, to settle or judge, to check for a cycle, to hurry.
-- ?1 now
-- Index: gristmill_errand_due, one probe a kind.
select
    exists (select 1 from gristmill_errand where kind = 'spread' and due_at <= ?1),
    exists (select 1 from gristmill_errand where kind = 'settle' and due_at <= ?1 and not checks)
        or exists (select 1 from gristmill_errand where kind = 'judge' and due_at <= ?1 and not checks),
    exists (select 1 from gristmill_errand where kind = 'settle' and due_at <= ?1 and checks)
        or exists (select 1 from gristmill_errand where kind = 'judge' and due_at <= ?1 and checks),
    exists (select 1 from gristmill_errand where kind = 'hurry' and due_at <= ?1)
