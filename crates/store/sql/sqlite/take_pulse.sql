-- Takes rows of one level out of the pulse, those of an hour or a day that has long passed, to be put back as fewer of the next.
-- ?1 level
-- ?2 now
-- ?3 seconds: how long ago that is over
-- ?4 seconds of a row of the next level
-- ?5 limit
-- Gives them with the beginning that they have there.
-- Index: gristmill_pulse_at, from its level's start; then primary keys.
delete from gristmill_pulse
where id in (
    select id
    from gristmill_pulse indexed by gristmill_pulse_at
    where level = ?1
        and at < datetime((cast(strftime('%s', ?2) as integer) - ?3) / ?4 * ?4, 'unixepoch') || '.000000'
    order by at
    limit ?5
)
returning
    datetime(cast(strftime('%s', at) as integer) / ?4 * ?4, 'unixepoch') || '.000000',
    backend, queue_name, task_name, outcome, version, attempts, wait_seconds, run_seconds, waits, runs
