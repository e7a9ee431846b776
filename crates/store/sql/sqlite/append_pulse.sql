-- Appends counts of attempts to the pulse. A row whose id is there already is left out: its append was not answered.
-- ?1 [{id, level, at or null, backend, queue_name, task_name, outcome, version or null, attempts, wait_seconds, run_seconds, waits, runs}]
-- ?2 now
-- ?3 seconds: a row without a moment is of the minute that was so long ago
-- ?4 version: of the rows without one
-- Index: primary key, one probe a row.
insert into gristmill_pulse (
    id, level, at, backend, queue_name, task_name, outcome, version, attempts, wait_seconds, run_seconds, waits, runs
)
select
    json_extract(value, '$.id'),
    json_extract(value, '$.level'),
    coalesce(
        json_extract(value, '$.at'),
        strftime('%Y-%m-%d %H:%M:00', ?2, printf('-%.6f seconds', ?3)) || '.000000'
    ),
    json_extract(value, '$.backend'),
    json_extract(value, '$.queue_name'),
    json_extract(value, '$.task_name'),
    json_extract(value, '$.outcome'),
    coalesce(json_extract(value, '$.version'), ?4),
    json_extract(value, '$.attempts'),
    json_extract(value, '$.wait_seconds'),
    json_extract(value, '$.run_seconds'),
    json_extract(value, '$.waits'),
    json_extract(value, '$.runs')
from json_each(?1)
where true
on conflict (id) do nothing
