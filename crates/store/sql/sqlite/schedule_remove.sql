-- Forgets a schedule that people made. Its ticks stay until they are pruned.
-- ?1 backend
-- ?2 name
-- Gives the schedule's name; nothing when there is none, or it belongs to code.
-- Index: gristmill_schedule's primary key.
delete from gristmill_schedule
where backend = ?1
    and name = ?2
    and origin = 'database'
returning name
