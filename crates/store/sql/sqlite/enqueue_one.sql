-- Asks for one job and puts it in its place: ready, or scheduled when its date is still to come, or waiting when it is held or
-- has preconditions. Nothing is made where another job has its unique key, or a precondition is unknown. A key that has run
-- out, or whose job somebody has deleted by hand, is nobody's.
-- ?1 id, ?2 backend, ?3 queue_name, ?4 task_name, ?5 priority, ?6 args, ?7 kwargs, ?8 options or null
-- ?9 run_after, or ?10 seconds from now, or neither
-- ?11 deadline, or ?12 seconds from now, or neither
-- ?13 retention in seconds, or null
-- ?14 whether it is held
-- ?15 unique_key or null, ?16 unique_until, ?17 unique_period in seconds, or null
-- ?18 ids of preconditions as a list, or null, ?19 how many are needed, or null, ?20 on_precondition_failure
-- ?21 now, or null for this machine's clock
-- Gives whether it was made, when it was asked for and is due, whether a worker is idle (no: workers watch the file), and unknown preconditions as a list.
-- Index: primary keys, one probe each.
insert into gristmill_enqueue (
    id, backend, queue_name, task_name, priority, args, kwargs, options, run_after, run_delay, deadline, deadline_delay,
    retention, held, unique_key, unique_until, unique_period, after, needed, on_precondition_failure, now
)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
returning
    iif(unique_key is null and after is null, 1, exists (select 1 from gristmill_job where id = gristmill_enqueue.id)),
    coalesce(now, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'),
    coalesce(run_after, strftime('%Y-%m-%d %H:%M:%f', coalesce(now, 'now'), run_delay || ' seconds') || '000'),
    0,
    iif(
        after is null,
        null,
        (
            select nullif(json_group_array(wanted.value), '[]')
            from json_each(gristmill_enqueue.after) as wanted
            where not exists (select 1 from gristmill_job where id = wanted.value)
        )
    );
