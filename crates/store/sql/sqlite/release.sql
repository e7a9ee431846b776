-- statements: 7
-- Lets held jobs go: ready, or scheduled when their date is still to come. One with a gate waits until the engine has
-- evaluated that.
-- ?1 job ids, as a list
-- ?2 actor
-- ?3 now, or null for this machine's clock
-- Gives (id, token, released). A job that is missing is not held.
-- Index: primary keys, one probe a job.
-- Between the statements a released job is in both places, which is how the later ones know it. The clock may move on between
-- them, so who is not ready is scheduled.
insert into gristmill_ready ({place})
select {place}
from gristmill_waiting
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and held
    and not exists (select 1 from gristmill_gate as gate where gate.job_id = gristmill_waiting.id)
    and ?2 is not null
    and (run_after is null or run_after <= coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'));

insert into gristmill_scheduled ({place})
select {place}
from gristmill_waiting as waiting
where waiting.id in (select replace(lower(value), '-', '') from json_each(?1))
    and waiting.held
    and not exists (select 1 from gristmill_gate as gate where gate.job_id = waiting.id)
    and not exists (select 1 from gristmill_ready as ready where ready.id = waiting.id);

insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
select lower(hex(randomblob(16))), id, 'release', token, ?2, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_waiting
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and held;

select id, token, 'released'
from gristmill_waiting
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and held
order by id;

insert into gristmill_propagation (kind, job_id, due_at)
select 'evaluate', waiting.id, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_waiting as waiting
cross join gristmill_gate as gate
where waiting.id in (select replace(lower(value), '-', '') from json_each(?1))
    and waiting.held
    and ?2 is not null
    and gate.job_id = waiting.id;

update gristmill_waiting
set held = 0,
    held_reason = null
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and exists (select 1 from gristmill_gate as gate where gate.job_id = gristmill_waiting.id);

delete from gristmill_waiting
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and held;
