-- Writes down that someone asks for a job of a schedule at this moment; the job is enqueued in the same transaction.
-- ?1 backend
-- ?2 schedule's name
-- ?3 job id
-- ?4 now, or null for this machine's clock
-- Gives the moment, which is the tick's nominal instant; nothing when that instant is taken: ask again.
-- Index: gristmill_tick's primary key.
insert into gristmill_tick (backend, schedule, nominal, by_hand, found_at, job_id)
select ?1, ?2, clock.now, 1, clock.now, replace(lower(?3), '-', '')
from (select coalesce(?4, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000') as now) as clock
where true
on conflict do nothing
returning nominal
