-- Writes how deep queues are; where that is known of the same minute, hour or day, the greater number stands.
-- $1 [{level, at, backend, queue_name, ready, scheduled, oldest_seconds}] in order of these, each once
-- Index: primary key, one probe a row.
insert into gristmill_depth as depth (level, at, backend, queue_name, ready, scheduled, oldest_seconds)
select
    sample.level, sample.at at time zone 'utc', sample.backend, sample.queue_name, sample.ready, sample.scheduled,
    sample.oldest_seconds
from json_to_recordset($1::json) as sample (
    level smallint, at timestamp, backend text, queue_name text, ready integer, scheduled integer,
    oldest_seconds double precision
)
on conflict (level, at, backend, queue_name) do update
set ready = greatest(depth.ready, excluded.ready),
    scheduled = greatest(depth.scheduled, excluded.scheduled),
    oldest_seconds = greatest(depth.oldest_seconds, excluded.oldest_seconds)
where excluded.ready > depth.ready
    or excluded.scheduled > depth.scheduled
    or excluded.oldest_seconds > depth.oldest_seconds
