-- Makes or changes a schedule that people keep, as workers announce theirs.
-- $1 backend
-- $2 the schedule: {name, queue_name, task_name, definition, job}
-- $3 now, or null for the server's clock
-- Gives created or changed; nothing when the name belongs to code.
-- Index: gristmill_schedule's primary key. Waits for a round of ticks that is under way.
-- Where the rule changes, or the schedule was removed, nothing is owed for the time before. What is changed was defined after it was
-- created, if only by a microsecond: that tells the two apart.
with clock as materialized (
    select coalesce($3::timestamp at time zone 'utc', clock_timestamp()) as now
)
insert into gristmill_schedule as known (
    backend, name, origin, queue_name, task_name, definition, job, created_at, defined_at, next_at
)
select
    $1, new.name, 'database', coalesce(new.queue_name, 'default'), new.task_name,
    coalesce(new.definition, '{}')::text, coalesce(new.job, '{}')::text, clock.now, clock.now, clock.now
from json_to_record($2::json) as new (name text, queue_name text, task_name text, definition json, job json)
cross join clock
on conflict (backend, name) do update
set queue_name = excluded.queue_name,
    task_name = excluded.task_name,
    definition = excluded.definition,
    job = excluded.job,
    defined_at = greatest(excluded.defined_at, known.created_at + interval '1 microsecond'),
    removed_at = null,
    high_water = case
        when known.high_water is null then null
        when known.removed_at is not null or (
            known.definition::json ->> 'cron',
            (known.definition::json ->> 'every')::double precision,
            coalesce(known.definition::json ->> 'timezone', 'UTC')
        ) is distinct from (
            excluded.definition::json ->> 'cron',
            (excluded.definition::json ->> 'every')::double precision,
            coalesce(excluded.definition::json ->> 'timezone', 'UTC')
        )
        then greatest(known.high_water, excluded.defined_at)
        else known.high_water
    end,
    next_at = excluded.next_at,
    problem = null
where known.origin = 'database'
returning case when created_at = defined_at then 'created' else 'changed' end
