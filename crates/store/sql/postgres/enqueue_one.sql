-- Asks for one job and puts it in its place: ready, or scheduled when its date is still to come, or waiting when it is held or
-- has preconditions. Nothing is made where another job has its unique key, or a precondition is unknown. A key that has run
-- out, or whose job somebody has deleted by hand, is nobody's.
-- $1 id, $2 backend, $3 queue_name, $4 task_name, $5 priority, $6 args, $7 kwargs, $8 options or null
-- $9 run_after, or $10 seconds from now, or neither
-- $11 deadline, or $12 seconds from now, or neither
-- $13 retention in seconds, or null
-- $14 whether it is held
-- $15 unique_key or null, $16 unique_until, $17 unique_period in seconds, or null
-- $18 ids of preconditions as a list, or null, $19 how many are needed, or null, $20 on_precondition_failure
-- $21 now, or null for the server's clock
-- Gives whether it was made, when it was asked for and is due, whether a worker is idle, and unknown preconditions as a list.
-- Index: primary keys, one probe each.
select
    made,
    to_char(enqueued_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(due_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    idle,
    array_to_json(unknown)::text
from gristmill_enqueue_one(
    $1::uuid, $2, $3, $4, $5::smallint, $6, $7, $8,
    $9::timestamp at time zone 'utc', $10::double precision, $11::timestamp at time zone 'utc', $12::double precision,
    $13::double precision, $14::boolean, $15, $16, $17::double precision,
    translate($18, '[]"', '{}')::uuid[], $19::integer, $20, $21::timestamp at time zone 'utc'
)
