-- statements: 2
-- Forgets days of the pulse, and how deep queues were then.
-- ?1 now
-- ?2 seconds: how long they are kept
-- ?3 limit, of each
-- Gives a row for each that it forgot.
-- Index: gristmill_pulse_at and gristmill_depth's primary key, each from its level's start; then primary keys.
delete from gristmill_pulse
where id in (
    select id
    from gristmill_pulse indexed by gristmill_pulse_at
    where level = 3
        and at < strftime('%Y-%m-%d %H:%M:%f', ?1, printf('-%.6f seconds', ?2)) || '000'
    order by at
    limit ?3
)
returning level;

delete from gristmill_depth
where (level, at, backend, queue_name) in (
    select level, at, backend, queue_name
    from gristmill_depth
    where level = 3
        and at < strftime('%Y-%m-%d %H:%M:%f', ?1, printf('-%.6f seconds', ?2)) || '000'
    order by at, backend, queue_name
    limit ?3
)
returning level;
