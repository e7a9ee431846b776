-- What the end of a job comes to, wherever it ends: it has a result, its unique key is free, the request to cancel it is gone,
-- and what waits for it will be told. Of the rows of `ending ({place}, state, reason, fingerprint,
-- retention in seconds)`, at `clock (now)`.
-- A result is kept for a minute at least, so that who waits for it finds it. An expired key is nobody's: whoever takes it over
-- may hold its row until the end of a long transaction, so it is left alone.
-- Index: primary keys and gristmill_unique_key_job, one probe a job.
resulted as (
    insert into gristmill_result ({place}, finished_at, state, reason, fingerprint, prune_at)
    select
        {ending.place}, clock.now, ending.state, ending.reason, ending.fingerprint,
        case
            when ending.retention is not null
            then clock.now + interval '1 second' * greatest(60, least(3162240000, ending.retention))
        end
    from ending
    cross join clock
),
told as (
    insert into gristmill_propagation (kind, job_id, due_at)
    select 'notify', ending.id, clock.now
    from ending
    cross join clock
    where ending.awaited
),
unlocked as (
    delete from gristmill_unique_key as held
    where held.job_id = any (array(select id from ending))
        and held.until <> 'pruned'
        and (held.expires_at is null or held.expires_at > (select now from clock))
),
granted as (
    delete from gristmill_cancel_request as request
    where request.job_id = any (array(select id from ending))
)
