CREATE TABLE gristmill_action (
    id char(32) primary key,
    job_id char(32) not null,
    verb text not null,
    token integer not null,
    actor text not null,
    acted_at datetime not null
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

CREATE TABLE gristmill_control (
    job_id char(32) primary key,
    token integer not null,
    asked_at datetime not null
) without rowid;

CREATE TABLE gristmill_edge (
    precondition_id char(32) not null,
    dependent_id char(32) not null,
    state text not null default 'open' check (state in ('open', 'successful', 'failed')),
    arming integer not null default 1,
    primary key (precondition_id, dependent_id)
) without rowid;

CREATE INDEX gristmill_edge_dependent
    on gristmill_edge (dependent_id, precondition_id);

CREATE TABLE gristmill_errand (
    id integer primary key,
    kind text not null check (kind in ('spread', 'settle', 'judge', 'hurry')),
    job_id char(32) not null,
    other_id char(32),
    seen char(32),
    checks bool not null default 0,
    due_at datetime not null
);

CREATE INDEX gristmill_errand_due
    on gristmill_errand (kind, due_at, id);

CREATE TABLE gristmill_gate (
    job_id char(32) primary key,
    needed integer check (needed > 0),
    on_failure text not null check (on_failure in ('strand', 'proceed', 'fail')),
    arming integer not null,
    armed_at datetime not null,
    settled bool not null default 0,
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
    run_after datetime,
    enqueued_at datetime not null,
    args text not null,
    kwargs text not null,
    options text,
    deadline datetime,
    unique_key text,
    unique_until text check (unique_until in ('started', 'finished', 'pruned')),
    waits bool not null default 0,
    held bool not null default 0,
    awaited bool not null default 0
);

CREATE TRIGGER gristmill_job_place after insert on gristmill_job
begin
    insert into gristmill_ready
        (id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, failures, crashes, losses, postpones, interruptions, awaited)
    select new.id, new.backend, new.queue_name, new.task_name, new.priority, new.run_after,
        coalesce(new.deadline, strftime('%Y-%m-%d %H:%M:%f', coalesce(new.run_after, new.enqueued_at), '+7 days') || '000'), 0, 1, 0, 0, 0, 0, 0, new.awaited
    where (new.run_after is null or new.run_after <= new.enqueued_at) and not new.waits and not new.held;
    insert into gristmill_scheduled
        (id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, failures, crashes, losses, postpones, interruptions, awaited)
    select new.id, new.backend, new.queue_name, new.task_name, new.priority, new.run_after,
        coalesce(new.deadline, strftime('%Y-%m-%d %H:%M:%f', new.run_after, '+7 days') || '000'), 0, 1, 0, 0, 0, 0, 0, new.awaited
    where new.run_after > new.enqueued_at and not new.waits and not new.held;
    insert into gristmill_waiting
        (id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, failures, crashes, losses, postpones, interruptions, awaited, held)
    select new.id, new.backend, new.queue_name, new.task_name, new.priority, new.run_after,
        coalesce(new.deadline, strftime('%Y-%m-%d %H:%M:%f', coalesce(new.run_after, new.enqueued_at), '+7 days') || '000'), 0, 1, 0, 0, 0, 0, 0,
        new.awaited, new.held
    where new.waits or new.held;
end;

CREATE VIEW gristmill_jobs as
select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'ready' as state, null as reason,
    j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after as due_at, p.deadline, p.token, p.generation,
    p.failures, p.crashes, p.losses, p.postpones, p.interruptions,
    p.started_at, null as claimed_at, null as finished_at, null as worker_id, null as return_value
from gristmill_ready p cross join gristmill_job j
where j.id = p.id
union all
select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'scheduled', null,
    j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
    p.failures, p.crashes, p.losses, p.postpones, p.interruptions,
    p.started_at, null, null, null, null
from gristmill_scheduled p cross join gristmill_job j
where j.id = p.id
union all
select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'held', p.held_reason,
    j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
    p.failures, p.crashes, p.losses, p.postpones, p.interruptions,
    p.started_at, null, null, null, null
from gristmill_waiting p cross join gristmill_job j
where j.id = p.id
    and p.held
union all
select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'stranded', null,
    j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
    p.failures, p.crashes, p.losses, p.postpones, p.interruptions,
    p.started_at, null, null, null, null
from gristmill_waiting p cross join gristmill_job j
where j.id = p.id
    and p.stranded
    and not p.held
union all
select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'waiting', null,
    j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
    p.failures, p.crashes, p.losses, p.postpones, p.interruptions,
    p.started_at, null, null, null, null
from gristmill_waiting p cross join gristmill_job j
where j.id = p.id
    and not p.stranded
    and not p.held
union all
select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'running', null,
    j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
    p.failures, p.crashes, p.losses, p.postpones, p.interruptions,
    coalesce(p.started_at, p.claimed_at), p.claimed_at, null, p.worker_id, null
from gristmill_running p cross join gristmill_job j
where j.id = p.id
union all
select p.id, p.backend, p.queue_name, p.task_name, p.priority, p.state, p.reason,
    j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
    p.failures, p.crashes, p.losses, p.postpones, p.interruptions,
    p.started_at, a.claimed_at, p.finished_at, a.worker_id, a.return_value
from gristmill_result p cross join gristmill_job j
left join gristmill_attempt a on a.job_id = p.id and a.token = p.token
where j.id = p.id;

CREATE TABLE gristmill_progress (
    job_id char(32) primary key,
    token integer not null,
    done real,
    total real,
    message text,
    metadata text,
    updated_at datetime not null
) without rowid;

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
    failures integer not null,
    crashes integer not null,
    losses integer not null,
    postpones integer not null,
    interruptions integer not null,
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
    failures integer not null,
    crashes integer not null,
    losses integer not null,
    postpones integer not null,
    interruptions integer not null,
    started_at datetime,
    awaited bool not null default 0,
    finished_at datetime not null,
    state text not null check (state in ('successful', 'failed', 'cancelled', 'poisoned')),
    reason text,
    prune_at datetime
) without rowid;

CREATE INDEX gristmill_result_prune
    on gristmill_result (finished_at, id);

CREATE INDEX gristmill_result_prune_at
    on gristmill_result (prune_at)
    where prune_at is not null;

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
    failures integer not null,
    crashes integer not null,
    losses integer not null,
    postpones integer not null,
    interruptions integer not null,
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
    failures integer not null,
    crashes integer not null,
    losses integer not null,
    postpones integer not null,
    interruptions integer not null,
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
    until text not null check (until in ('started', 'finished', 'pruned')),
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
    failures integer not null,
    crashes integer not null,
    losses integer not null,
    postpones integer not null,
    interruptions integer not null,
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
    last_error text
);

CREATE INDEX gristmill_worker_live
    on gristmill_worker (id)
    where stopped_at is null and lost_at is null;

