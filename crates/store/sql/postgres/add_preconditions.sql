-- Has a job that has not started wait for more preconditions, under the rule that its gate has, or else for all of them.
-- $1 job id
-- $2 preconditions, as a list of job ids
-- $3 actor
-- $4 now, or null for the server's clock
-- Gives (id, token, added, or "refused: " and why). No row: it has started or ended, or someone is moving it.
-- Index: primary keys, one probe a precondition.
-- It may be part of someone's long transaction, so it locks the job's place and gate, and of the preconditions nothing but
-- that they exist, which only prune.sql minds, and passes over. The engine holds the edges against them, and looks whether
-- they close a cycle.
with clock as materialized (
    select coalesce($4::timestamp at time zone 'utc', clock_timestamp()) as now
),
wanted as materialized (
    select distinct value::uuid as id
    from json_array_elements_text($2::json) as value
),
found as materialized (
    select job.id
    from wanted
    cross join lateral (
        select id
        from gristmill_job
        where id = wanted.id
        for key share
    ) as job
),
unknown as materialized (
    select wanted.id
    from wanted
    where wanted.id not in (select id from found)
),
free_ready as materialized (
    select id, token
    from gristmill_ready
    where id = $1::uuid
        and started_at is null
    for update skip locked
),
free_scheduled as materialized (
    select id, token
    from gristmill_scheduled
    where id = $1::uuid
        and started_at is null
    for update skip locked
),
free_waiting as materialized (
    select id, token
    from gristmill_waiting
    where id = $1::uuid
    for update skip locked
),
free as materialized (
    select * from free_ready
    union all
    select * from free_scheduled
    union all
    select * from free_waiting
),
known as materialized (
    select gate.job_id
    from gristmill_gate as gate
    where gate.job_id = $1::uuid
),
locked as materialized (
    select gate.job_id, gate.epoch
    from gristmill_gate as gate
    where gate.job_id = $1::uuid
    for update skip locked
),
granted as materialized (
    select free.id, free.token, coalesce((select epoch from locked), 1) as epoch
    from free
    where not exists (select from unknown)
        and (not exists (select from known) or exists (select from locked))
),
joined as (
    insert into gristmill_edge as edge (precondition_id, dependent_id, epoch)
    select wanted.id, granted.id, granted.epoch
    from granted
    cross join wanted
    order by wanted.id
    -- One that did not count any more does again.
    on conflict (precondition_id, dependent_id) do update
    set epoch = excluded.epoch,
        state = 'open'
    where edge.epoch <> excluded.epoch
    returning precondition_id
),
armed as (
    insert into gristmill_gate as gate (
        job_id, needed, on_precondition_failure, epoch, armed_at, resolved, open, successful, failed
    )
    select
        granted.id,
        substring(job.options from '"needed":\s*([0-9]{1,9})')::integer,
        coalesce(substring(job.options from '"on_precondition_failure":\s*"(proceed|fail)"'), 'strand'),
        1, clock.now, false, (select count(*) from joined), 0, 0
    from granted
    cross join clock
    cross join lateral (
        select options
        from gristmill_job
        where id = granted.id
        offset 0
    ) as job
    on conflict (job_id) do update
    set open = gate.open + excluded.open
),
left_ready as (
    delete from gristmill_ready as place
    where place.id = any (array(select id from granted))
    returning place.*
),
left_scheduled as (
    delete from gristmill_scheduled as place
    where place.id = any (array(select id from granted))
    returning place.*
),
kept as (
    insert into gristmill_waiting ({place})
    select {place}
    from left_ready
    union all
    select {place}
    from left_scheduled
),
propagations as (
    insert into gristmill_propagation (kind, job_id, checks, due_at)
    select 'resolve', granted.id, true, clock.now
    from granted
    cross join clock
),
acted as (
    insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
    select gen_random_uuid(), granted.id, 'add preconditions', granted.token, $3, clock.now
    from granted
    cross join clock
)
select free.id::text, free.token, case
        when granted.id is not null then 'added'
        else 'refused: job ' || (select id from unknown order by id limit 1) || ' is unknown, or was forgotten'
    end
from free
left join granted on granted.id = free.id
where granted.id is not null
    or exists (select from unknown)
