-- Takes depths of one level, those of an hour or a day that has long passed, to be put back as fewer of the next.
-- ?1 level
-- ?2 now
-- ?3 seconds: how long ago that is over
-- ?4 seconds of a row of the next level
-- ?5 limit
-- Gives them with the beginning that they have there.
-- Index: gristmill_depth's primary key, from its level's start.
delete from gristmill_depth
where (level, at, backend, queue_name) in (
    select level, at, backend, queue_name
    from gristmill_depth
    where level = ?1
        and at < datetime((cast(strftime('%s', ?2) as integer) - ?3) / ?4 * ?4, 'unixepoch') || '.000000'
    order by at, backend, queue_name
    limit ?5
)
returning
    datetime(cast(strftime('%s', at) as integer) / ?4 * ?4, 'unixepoch') || '.000000',
    backend, queue_name, ready, scheduled, oldest_seconds
