-- What the end of a job comes to, wherever it ends: it has a result, its unique key is free, the request to cancel it is gone,
-- and what waits for it will be told. Of the rows of gristmill_ended whose next is the result, at their moment.
-- A result is kept for a minute at least, so that who waits for it finds it. An expired key is nobody's.
-- Index: primary keys and gristmill_unique_key_job, one probe a job. A cross join keeps the jobs outermost.
insert into gristmill_result ({place}, finished_at, state, reason, fingerprint, prune_at)
select
    {carried}, run_after, token, generation, counts, coalesce(first_started_at, started_at), now, state, state_reason, fingerprint,
    case
        when retention is not null
        then strftime('%Y-%m-%d %H:%M:%f', now, printf('+%.6f seconds', max(60, min(3162240000, retention)))) || '000'
    end
from temp.gristmill_ended
where next = 'result';

insert into gristmill_propagation (kind, job_id, due_at)
select 'notify', id, now
from temp.gristmill_ended
where next = 'result'
    and awaited;

delete from gristmill_unique_key
where key in (
    select held.key
    from temp.gristmill_ended as ended
    cross join gristmill_unique_key as held indexed by gristmill_unique_key_job
    where held.job_id = ended.id
        and iif(
            ended.next = 'result',
            held.until <> 'pruned' and (held.expires_at is null or held.expires_at > ended.now),
            0
        )
);

delete from gristmill_cancel_request
where job_id in (select id from temp.gristmill_ended where next = 'result');
