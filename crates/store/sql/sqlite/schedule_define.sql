-- Makes or changes a schedule that people keep, as workers announce theirs.
-- ?1 backend
-- ?2 the schedule: {name, queue_name, task_name, definition, job}
-- ?3 now, or null for this machine's clock
-- Gives created or changed; nothing when the name belongs to code.
-- Index: gristmill_schedule's primary key.
-- Where the rule changes, or the schedule was removed, nothing is owed for the time before. What is changed was defined after it was
-- created, if only by a millisecond: that tells the two apart.
insert into gristmill_schedule (
    backend, name, origin, queue_name, task_name, definition, job, created_at, defined_at, next_at
)
select
    ?1,
    json_extract(?2, '$.name'),
    'database',
    coalesce(json_extract(?2, '$.queue_name'), 'default'),
    json_extract(?2, '$.task_name'),
    coalesce(json_extract(?2, '$.definition'), '{}'),
    coalesce(json_extract(?2, '$.job'), '{}'),
    clock.now,
    clock.now,
    clock.now
from (select coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000') as now) as clock
where true
on conflict (backend, name) do update
set queue_name = excluded.queue_name,
    task_name = excluded.task_name,
    definition = excluded.definition,
    job = excluded.job,
    defined_at = max(excluded.defined_at, strftime('%Y-%m-%d %H:%M:%f', created_at, '+0.001 seconds') || '000'),
    removed_at = null,
    high_water = iif(
        removed_at is null
        and json_extract(definition, '$.cron') is json_extract(excluded.definition, '$.cron')
        and json_extract(definition, '$.every') is json_extract(excluded.definition, '$.every')
        and coalesce(json_extract(definition, '$.timezone'), 'UTC')
            = coalesce(json_extract(excluded.definition, '$.timezone'), 'UTC'),
        high_water,
        max(high_water, excluded.defined_at)
    ),
    next_at = excluded.next_at,
    problem = null
where origin = 'database'
returning iif(created_at = defined_at, 'created', 'changed')
