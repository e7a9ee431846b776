CREATE TABLE gristmill_action (
    id char(32) primary key,
    job_id char(32) not null,
    verb text not null,
    token integer not null,
    actor text not null,
    acted_at datetime not null,
    other_id char(32)
) without rowid;

CREATE INDEX gristmill_action_job
    on gristmill_action (job_id);

CREATE TABLE gristmill_attempt (
    job_id char(32) not null,
    token integer not null,
    generation integer not null,
    worker_id char(32) not null,
    runner_pid integer,
    claimed_at datetime not null,
    started_at datetime,
    ended_at datetime not null,
    outcome text not null,
    reason text,
    return_value text,
    exception_class_path text,
    traceback text,
    output text,
    primary key (job_id, token)
) without rowid;

CREATE TABLE gristmill_cancel_request (
    job_id char(32) primary key,
    token integer not null,
    asked_at datetime not null
) without rowid;

CREATE TABLE gristmill_depth (
    level smallint not null check (level between 1 and 3),
    at datetime not null,
    backend text not null,
    queue_name text not null,
    ready integer not null,
    scheduled integer not null,
    oldest_seconds real not null,
    primary key (level, at, backend, queue_name)
) without rowid;

CREATE TABLE gristmill_edge (
    precondition_id char(32) not null,
    dependent_id char(32) not null,
    state text not null default 'open' check (state in ('open', 'successful', 'failed')),
    epoch integer not null default 1,
    primary key (precondition_id, dependent_id)
) without rowid;

CREATE INDEX gristmill_edge_dependent
    on gristmill_edge (dependent_id, precondition_id);

CREATE TRIGGER gristmill_enqueue_kept instead of insert on gristmill_enqueue
when new.unique_key is null and new.after is null and (coalesce(new.waits, 0) or coalesce(new.held, 0))
begin
    insert into gristmill_job (
        id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs, options, deadline, retention
    )
    values (
        new.id, new.backend, new.queue_name, new.task_name, new.priority,
        coalesce(new.run_after, strftime('%Y-%m-%d %H:%M:%f', coalesce(new.now, 'now'), new.run_delay || ' seconds') || '000'),
        coalesce(new.now, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'), new.args, new.kwargs, new.options,
        coalesce(new.deadline, strftime('%Y-%m-%d %H:%M:%f', coalesce(new.now, 'now'), new.deadline_delay || ' seconds') || '000'),
        new.retention
    );
    insert into gristmill_waiting (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, awaited, held
    )
    select
        id, backend, queue_name, task_name, priority, run_after,
        coalesce(deadline, strftime('%Y-%m-%d %H:%M:%f', coalesce(run_after, enqueued_at), '+7 days') || '000'),
        0, 1, coalesce(new.awaited, 0), coalesce(new.held, 0)
    from gristmill_job
    where id = new.id;
end;

CREATE TRIGGER gristmill_enqueue_one instead of insert on gristmill_enqueue
when new.unique_key is not null
    or new.after is not null
    or ((new.run_after is not null or new.run_delay is not null) and not coalesce(new.waits, 0) and not coalesce(new.held, 0))
begin
    -- A key and its job come and go in one commit, and so do the places of a move: who is nowhere has been deleted by hand.
    delete from gristmill_unique_key
    where key = new.unique_key
        and (
            expires_at <= coalesce(new.now, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
            or not exists (select 1 from gristmill_job where id = gristmill_unique_key.job_id)
            or not exists (
                select 1 from gristmill_ready where id = gristmill_unique_key.job_id
                union all select 1 from gristmill_scheduled where id = gristmill_unique_key.job_id
                union all select 1 from gristmill_waiting where id = gristmill_unique_key.job_id
                union all select 1 from gristmill_running where id = gristmill_unique_key.job_id
                union all select 1 from gristmill_result where id = gristmill_unique_key.job_id
            )
        );
    insert into gristmill_unique_key (key, job_id, until, expires_at)
    select
        new.unique_key, new.id, new.unique_until,
        strftime('%Y-%m-%d %H:%M:%f', coalesce(new.now, 'now'), new.unique_period || ' seconds') || '000'
    where new.unique_key is not null
        and (new.after is null or not exists (
            select 1
            from json_each(new.after) as wanted
            where not exists (select 1 from gristmill_job where id = wanted.value)
        ))
    on conflict do nothing;
    insert into gristmill_job (
        id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs, options,
        deadline, unique_key, unique_until, unique_period, retention
    )
    select
        new.id, new.backend, new.queue_name, new.task_name, new.priority,
        coalesce(new.run_after, strftime('%Y-%m-%d %H:%M:%f', coalesce(new.now, 'now'), new.run_delay || ' seconds') || '000'),
        coalesce(new.now, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'), new.args, new.kwargs, new.options,
        coalesce(new.deadline, strftime('%Y-%m-%d %H:%M:%f', coalesce(new.now, 'now'), new.deadline_delay || ' seconds') || '000'),
        new.unique_key, iif(new.unique_key is null, null, new.unique_until), new.unique_period, new.retention
    where (new.unique_key is null or exists (select 1 from gristmill_unique_key where key = new.unique_key and job_id = new.id))
        and (new.after is null or not exists (
            select 1
            from json_each(new.after) as wanted
            where not exists (select 1 from gristmill_job where id = wanted.value)
        ));
    insert into gristmill_ready (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, awaited
    )
    select
        id, backend, queue_name, task_name, priority, run_after,
        coalesce(deadline, strftime('%Y-%m-%d %H:%M:%f', coalesce(run_after, enqueued_at), '+7 days') || '000'),
        0, 1, coalesce(new.awaited, 0)
    from gristmill_job
    where id = new.id
        and (run_after is null or run_after <= enqueued_at)
        and not (coalesce(new.held, 0) or coalesce(new.waits, 0) or new.after is not null);
    insert into gristmill_scheduled (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, awaited
    )
    select
        id, backend, queue_name, task_name, priority, run_after,
        coalesce(deadline, strftime('%Y-%m-%d %H:%M:%f', coalesce(run_after, enqueued_at), '+7 days') || '000'),
        0, 1, coalesce(new.awaited, 0)
    from gristmill_job
    where id = new.id
        and run_after > enqueued_at
        and not (coalesce(new.held, 0) or coalesce(new.waits, 0) or new.after is not null);
    insert into gristmill_waiting (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, awaited, held
    )
    select
        id, backend, queue_name, task_name, priority, run_after,
        coalesce(deadline, strftime('%Y-%m-%d %H:%M:%f', coalesce(run_after, enqueued_at), '+7 days') || '000'),
        0, 1, coalesce(new.awaited, 0), coalesce(new.held, 0)
    from gristmill_job
    where id = new.id
        and (coalesce(new.held, 0) or coalesce(new.waits, 0) or new.after is not null);
    insert into gristmill_edge (precondition_id, dependent_id)
    select distinct wanted.value, job.id
    from json_each(new.after) as wanted
    cross join gristmill_job as job
    where job.id = new.id;
    insert into gristmill_gate (job_id, needed, on_precondition_failure, epoch, armed_at, resolved, open, successful, failed)
    select
        id, new.needed, coalesce(new.on_precondition_failure, 'strand'), 1, enqueued_at, 0,
        (select count(distinct value) from json_each(new.after)), 0, 0
    from gristmill_job
    where id = new.id
        and new.after is not null;
    insert into gristmill_propagation (kind, job_id, due_at)
    select 'resolve', id, enqueued_at
    from gristmill_job
    where id = new.id
        and new.after is not null;
end;

CREATE TRIGGER gristmill_enqueue_plain instead of insert on gristmill_enqueue
when new.run_after is null and new.run_delay is null and new.unique_key is null and new.after is null
    and not coalesce(new.waits, 0) and not coalesce(new.held, 0)
begin
    insert into gristmill_job (
        id, backend, queue_name, task_name, priority, enqueued_at, args, kwargs, options, deadline, retention
    )
    values (
        new.id, new.backend, new.queue_name, new.task_name, new.priority,
        coalesce(new.now, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'), new.args, new.kwargs, new.options,
        coalesce(new.deadline, strftime('%Y-%m-%d %H:%M:%f', coalesce(new.now, 'now'), new.deadline_delay || ' seconds') || '000'),
        new.retention
    );
    insert into gristmill_ready (
        id, backend, queue_name, task_name, priority, deadline, token, generation, awaited
    )
    values (
        new.id, new.backend, new.queue_name, new.task_name, new.priority,
        coalesce(
            new.deadline,
            strftime('%Y-%m-%d %H:%M:%f', coalesce(new.now, 'now'), coalesce(new.deadline_delay || ' seconds', '+7 days')) || '000'
        ),
        0, 1, coalesce(new.awaited, 0)
    );
end;

CREATE VIEW gristmill_enqueue as
select id, backend, queue_name, task_name, priority, args, kwargs, options, run_after, null as run_delay,
    deadline, null as deadline_delay, retention, null as held, unique_key, unique_until, unique_period,
    null as waits, null as awaited, null as after, null as needed, null as on_precondition_failure, enqueued_at as now
from gristmill_job;

CREATE TABLE gristmill_gate (
    job_id char(32) primary key,
    needed integer check (needed > 0),
    on_precondition_failure text not null check (on_precondition_failure in ('strand', 'proceed', 'fail')),
    epoch integer not null,
    armed_at datetime not null,
    resolved bool not null default 0,
    open integer not null,
    successful integer not null,
    failed integer not null
) without rowid;

CREATE TABLE gristmill_job (
    id char(32) primary key,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    priority integer not null check (priority between -100 and 100),
    run_after datetime check (run_after between '0001-01-08 00:00:00' and '9999-12-24 00:00:00.000000' and run_after like '____-__-__ __:__:__%'),
    enqueued_at datetime not null check (enqueued_at between '0001-01-08 00:00:00' and '9999-12-24 00:00:00.000000' and enqueued_at like '____-__-__ __:__:__%'),
    args text not null,
    kwargs text not null,
    options text,
    deadline datetime check (deadline between '0001-01-08 00:00:00' and '9999-12-24 00:00:00.000000' and deadline like '____-__-__ __:__:__%'),
    unique_key text,
    unique_until text check (unique_until in ('started', 'each_start', 'finished', 'pruned')),
    unique_period double precision check (unique_period between 0 and 3162240000),
    retention double precision
);

CREATE VIEW gristmill_jobs as
select id, backend, queue_name, task_name, priority, state, reason, args, kwargs, options, enqueued_at, run_after, due_at, deadline,
    token, generation,
    coalesce(iif(json_valid(counts), json_extract(counts, '$.failures'), null), 0) as failures,
    coalesce(iif(json_valid(counts), json_extract(counts, '$.crashes'), null), 0) as crashes,
    coalesce(iif(json_valid(counts), json_extract(counts, '$.losses'), null), 0) as losses,
    coalesce(iif(json_valid(counts), json_extract(counts, '$.postpones'), null), 0) as postpones,
    coalesce(iif(json_valid(counts), json_extract(counts, '$.interruptions'), null), 0) as interruptions,
    started_at, claimed_at, finished_at, worker_id, return_value
from (
    select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'ready' as state, null as reason,
        j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after as due_at, p.deadline, p.token, p.generation,
        p.counts, p.started_at, null as claimed_at, null as finished_at, null as worker_id, null as return_value
    from gristmill_ready p cross join gristmill_job j indexed by sqlite_autoindex_gristmill_job_1
    where j.id = p.id
    union all
    select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'scheduled', null,
        j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
        p.counts, p.started_at, null, null, null, null
    from gristmill_scheduled p cross join gristmill_job j indexed by sqlite_autoindex_gristmill_job_1
    where j.id = p.id
    union all
    select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'held', p.held_reason,
        j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
        p.counts, p.started_at, null, null, null, null
    from gristmill_waiting p cross join gristmill_job j indexed by sqlite_autoindex_gristmill_job_1
    where j.id = p.id
        and p.held
    union all
    select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'stranded', null,
        j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
        p.counts, p.started_at, null, null, null, null
    from gristmill_waiting p cross join gristmill_job j indexed by sqlite_autoindex_gristmill_job_1
    where j.id = p.id
        and p.stranded
        and not p.held
    union all
    select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'waiting', null,
        j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
        p.counts, p.started_at, null, null, null, null
    from gristmill_waiting p cross join gristmill_job j indexed by sqlite_autoindex_gristmill_job_1
    where j.id = p.id
        and not p.stranded
        and not p.held
    union all
    select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'running', null,
        j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
        p.counts, coalesce(p.started_at, p.claimed_at), p.claimed_at, null, p.worker_id, null
    from gristmill_running p cross join gristmill_job j indexed by sqlite_autoindex_gristmill_job_1
    where j.id = p.id
    union all
    select p.id, p.backend, p.queue_name, p.task_name, p.priority, p.state, p.reason,
        j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
        p.counts, p.started_at, a.claimed_at, p.finished_at, a.worker_id, a.return_value
    from gristmill_result p cross join gristmill_job j indexed by sqlite_autoindex_gristmill_job_1
    left join gristmill_attempt a on a.job_id = p.id and a.token = p.token
    where j.id = p.id
) as place;

CREATE TABLE gristmill_notice (
    fingerprint text not null,
    hour datetime not null,
    job_id char(32) not null,
    primary key (fingerprint, hour)
) without rowid;

CREATE INDEX gristmill_notice_prune
    on gristmill_notice (hour);

CREATE TABLE gristmill_progress (
    job_id char(32) primary key,
    token integer not null,
    done real,
    total real,
    message text,
    metadata text,
    updated_at datetime not null
) without rowid;

CREATE TABLE gristmill_propagation (
    id integer primary key,
    kind text not null check (kind in ('notify', 'resolve', 'evaluate', 'raise_deadline')),
    job_id char(32) not null,
    other_id char(32),
    seen char(32),
    checks bool not null default 0,
    due_at datetime not null
);

CREATE INDEX gristmill_propagation_due
    on gristmill_propagation (kind, due_at);

CREATE TABLE gristmill_pulse (
    id char(32) primary key,
    level smallint not null check (level between 0 and 3),
    at datetime not null,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    outcome text not null,
    version text not null,
    attempts integer not null,
    wait_seconds real not null,
    run_seconds real not null,
    waits text,
    runs text
) without rowid;

CREATE INDEX gristmill_pulse_at
    on gristmill_pulse (level, at);

CREATE INDEX gristmill_pulse_task
    on gristmill_pulse (task_name, level, at);

CREATE TABLE gristmill_queue (
    backend text not null,
    queue_name text not null,
    paused_at datetime not null,
    reason text not null,
    primary key (backend, queue_name)
) without rowid;

CREATE TABLE gristmill_ready (
    id char(32) primary key,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    priority integer not null,
    run_after datetime,
    deadline datetime not null,
    token integer not null,
    generation integer not null,
    counts text,
    started_at datetime,
    awaited bool not null default 0
) without rowid;

CREATE INDEX gristmill_ready_claim
    on gristmill_ready (backend, queue_name, task_name, priority, deadline, id);

CREATE TABLE gristmill_result (
    id char(32) primary key,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    priority integer not null,
    run_after datetime,
    deadline datetime not null,
    token integer not null,
    generation integer not null,
    counts text,
    started_at datetime,
    awaited bool not null default 0,
    finished_at datetime not null,
    state text not null check (state in ('successful', 'failed', 'cancelled', 'poisoned')),
    reason text,
    prune_at datetime,
    fingerprint text
) without rowid;

CREATE INDEX gristmill_result_group
    on gristmill_result (fingerprint, finished_at, id)
    where state in ('failed', 'poisoned');

CREATE INDEX gristmill_result_prune
    on gristmill_result (finished_at, id);

CREATE INDEX gristmill_result_prune_at
    on gristmill_result (prune_at)
    where prune_at is not null;

CREATE INDEX gristmill_result_unsuccessful
    on gristmill_result (finished_at, id)
    where state <> 'successful';

CREATE TABLE gristmill_running (
    id char(32) primary key,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    priority integer not null,
    run_after datetime,
    deadline datetime not null,
    token integer not null,
    generation integer not null,
    counts text,
    started_at datetime,
    awaited bool not null default 0,
    worker_id char(32) not null,
    claimed_at datetime not null
) without rowid;

CREATE INDEX gristmill_running_worker
    on gristmill_running (worker_id);

CREATE TABLE gristmill_schedule (
    backend text not null,
    name text not null,
    origin text not null check (origin in ('code', 'database')),
    queue_name text not null,
    task_name text not null,
    definition text not null,
    job text not null,
    created_at datetime not null,
    defined_at datetime not null,
    removed_at datetime,
    paused_at datetime,
    paused_reason text,
    high_water datetime,
    next_at datetime,
    problem text,
    primary key (backend, name)
) without rowid;

CREATE INDEX gristmill_schedule_due
    on gristmill_schedule (backend, next_at)
    where next_at is not null and paused_at is null and removed_at is null;

CREATE TABLE gristmill_scheduled (
    id char(32) primary key,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    priority integer not null,
    run_after datetime not null,
    deadline datetime not null,
    token integer not null,
    generation integer not null,
    counts text,
    started_at datetime,
    awaited bool not null default 0
) without rowid;

CREATE INDEX gristmill_scheduled_promote
    on gristmill_scheduled (run_after, id);

CREATE TABLE gristmill_schema (
    version integer primary key,
    name text not null,
    applied_at datetime not null default (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);

CREATE TRIGGER gristmill_schema_keep before insert on gristmill_schema
when exists (select 1 from gristmill_schema where version = new.version)
begin
    select raise(ignore);
end;

CREATE TABLE gristmill_tick (
    backend text not null,
    schedule text not null,
    nominal datetime not null,
    by_hand bool not null default 0,
    found_at datetime not null,
    job_id char(32),
    skipped text,
    primary key (backend, schedule, nominal),
    check ((job_id is null) = (skipped is not null))
) without rowid;

CREATE INDEX gristmill_tick_job
    on gristmill_tick (job_id)
    where job_id is not null;

CREATE INDEX gristmill_tick_made
    on gristmill_tick (backend, schedule, nominal)
    where job_id is not null;

CREATE TABLE gristmill_unique_key (
    key text primary key,
    job_id char(32) not null,
    until text not null check (until in ('started', 'each_start', 'finished', 'pruned')),
    expires_at datetime
) without rowid;

CREATE INDEX gristmill_unique_key_job
    on gristmill_unique_key (job_id);

CREATE TABLE gristmill_waiting (
    id char(32) primary key,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    priority integer not null,
    run_after datetime,
    deadline datetime not null,
    token integer not null,
    generation integer not null,
    counts text,
    started_at datetime,
    awaited bool not null default 0,
    stranded bool not null default 0,
    held bool not null default 0,
    held_reason text
) without rowid;

CREATE TABLE gristmill_worker (
    id char(32) primary key,
    label text not null,
    host text not null,
    pid integer not null,
    version text not null,
    backend text not null,
    queues text not null,
    tasks text not null,
    processes integer not null,
    started_at datetime not null,
    heartbeat_at datetime not null,
    heartbeat_seconds real not null,
    lease_seconds real not null,
    idle bool not null default 0,
    suspect_at datetime,
    lost_at datetime,
    stopped_at datetime,
    exit_status integer,
    last_error text,
    asked text check (asked in ('quiet', 'stop')),
    asked_by text,
    asked_at datetime
);

CREATE INDEX gristmill_worker_live
    on gristmill_worker (id)
    where stopped_at is null and lost_at is null;

