-- Appends counts of attempts to the pulse. A row whose id is there already is left out: its append was not answered.
-- $1 [{id, level, at or null, backend, queue_name, task_name, outcome, version or null, attempts, wait_seconds, run_seconds, waits, runs}]
-- $2 now, or null for the server's clock
-- $3 seconds: a row without a moment is of the minute that was so long ago
-- $4 version: of the rows without one
-- Index: primary key, one probe a row.
insert into gristmill_pulse (
    id, level, at, backend, queue_name, task_name, outcome, version, attempts, wait_seconds, run_seconds, waits, runs
)
select
    beat.id,
    beat.level,
    coalesce(
        beat.at at time zone 'utc',
        date_bin(
            interval '1 minute',
            coalesce($2::timestamp at time zone 'utc', clock_timestamp()) - interval '1 second' * $3::double precision,
            timestamptz '2000-01-01 00:00:00+00'
        )
    ),
    beat.backend, beat.queue_name, beat.task_name, beat.outcome, coalesce(beat.version, $4), beat.attempts,
    beat.wait_seconds, beat.run_seconds, beat.waits, beat.runs
from json_to_recordset($1::json) as beat (
    id uuid, level smallint, at timestamp, backend text, queue_name text, task_name text, outcome text, version text,
    attempts bigint, wait_seconds double precision, run_seconds double precision, waits text, runs text
)
on conflict (id) do nothing
