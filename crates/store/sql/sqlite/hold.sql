-- statements: 10
-- Keeps back jobs that have not started, until someone releases them; their gates go on counting.
-- ?1 job ids, as a list
-- ?2 actor
-- ?3 reason, or null
-- ?4 now, or null for this machine's clock
-- Gives (id, token, held). A job that is missing is in no place to be held.
-- Index: primary keys, one probe a job and place.
-- A statement names every bind below its highest one, because the driver miscounts otherwise.
-- Between the statements a held job is in both places, which is how the later ones know it.
create temp table if not exists gristmill_holding (id text primary key) without rowid;

delete from temp.gristmill_holding;

insert into temp.gristmill_holding (id)
select id
from gristmill_waiting
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and not held;

update gristmill_waiting
set held = 1,
    held_reason = ?3
where id in (select id from temp.gristmill_holding)
    and ?1 is not null
    and ?2 is not null;

insert into gristmill_waiting ({place}, held, held_reason)
select {place}, 1, ?3
from gristmill_ready
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and ?2 is not null;

insert into gristmill_waiting ({place}, held, held_reason)
select {place}, 1, ?3
from gristmill_scheduled
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and ?2 is not null;

insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
select lower(hex(randomblob(16))), waiting.id, 'hold', waiting.token, ?2, coalesce(?4, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_waiting as waiting
where waiting.id in (select replace(lower(value), '-', '') from json_each(?1))
    and (
        exists (select 1 from gristmill_ready as ready where ready.id = waiting.id)
        or exists (select 1 from gristmill_scheduled as scheduled where scheduled.id = waiting.id)
        or exists (select 1 from temp.gristmill_holding as holding where holding.id = waiting.id)
    )
    and ?3 is ?3;

select waiting.id, waiting.token, 'held'
from gristmill_waiting as waiting
where waiting.id in (select replace(lower(value), '-', '') from json_each(?1))
    and (
        exists (select 1 from gristmill_ready as ready where ready.id = waiting.id)
        or exists (select 1 from gristmill_scheduled as scheduled where scheduled.id = waiting.id)
        or exists (select 1 from temp.gristmill_holding as holding where holding.id = waiting.id)
    )
order by waiting.id;

delete from gristmill_ready
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and exists (select 1 from gristmill_waiting as moved where moved.id = gristmill_ready.id);

delete from gristmill_scheduled
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and exists (select 1 from gristmill_waiting as moved where moved.id = gristmill_scheduled.id);
