-- Writes how deep queues are; where that is known of the same minute, hour or day, the greater number stands.
-- ?1 [{level, at, backend, queue_name, ready, scheduled, oldest_seconds}] in order of these, each once
-- Index: primary key, one probe a row.
insert into gristmill_depth as depth (level, at, backend, queue_name, ready, scheduled, oldest_seconds)
select
    json_extract(value, '$.level'),
    json_extract(value, '$.at'),
    json_extract(value, '$.backend'),
    json_extract(value, '$.queue_name'),
    json_extract(value, '$.ready'),
    json_extract(value, '$.scheduled'),
    json_extract(value, '$.oldest_seconds')
from json_each(?1)
where true
on conflict (level, at, backend, queue_name) do update
set ready = max(depth.ready, excluded.ready),
    scheduled = max(depth.scheduled, excluded.scheduled),
    oldest_seconds = max(depth.oldest_seconds, excluded.oldest_seconds)
where excluded.ready > depth.ready
    or excluded.scheduled > depth.scheduled
    or excluded.oldest_seconds > depth.oldest_seconds
