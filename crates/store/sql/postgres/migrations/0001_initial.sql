-- statements: 46
-- Gristmill's tables: rows move, they are not updated.
-- A job is asked for once (gristmill_job) and then has exactly one place row at any moment: in
-- gristmill_ready, gristmill_scheduled, gristmill_waiting, gristmill_running or gristmill_result. Place rows share their
-- columns, so a move is a delete that returns the row and an insert that takes it.

create table gristmill_schema (
    version integer primary key,
    name text not null,
    applied_at timestamptz not null default clock_timestamp()
);

-- Whoever restores a dump into tables that are there brings their versions along: those that are known stay as they are.
create function gristmill_keep_version() returns trigger language plpgsql as $$
declare
    known boolean;
begin
    execute format('select exists (select from %I.gristmill_schema where version = $1)', tg_table_schema)
    into known using new.version;
    return case when not known then new end;
end $$;

create trigger gristmill_schema_keep before insert on gristmill_schema
    for each row execute function gristmill_keep_version();

-- What was asked. Written once, but for a unique job that replaces another and for a change of priority or queue. args, kwargs
-- and options are JSON as text: the engine passes the first two on unread. deadline orders work of one priority; null is seven days after it is due.
-- Dates lie a week from either end of the years 1 to 9999, so that a deadline a week after one is a date too.
-- unique_period: seconds from the enqueue after which it keeps its key from nobody, whatever becomes of it. retention: seconds
-- that its result is kept; null is as long as the worker says. A period is a hundred years at most.
create table gristmill_job (
    id uuid primary key,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    priority smallint not null check (priority between -100 and 100),
    run_after timestamptz check (run_after between '0001-01-08 00:00:00+00' and '9999-12-24 00:00:00+00'),
    enqueued_at timestamptz not null check (enqueued_at between '0001-01-08 00:00:00+00' and '9999-12-24 00:00:00+00'),
    args text not null,
    kwargs text not null,
    options text,
    deadline timestamptz check (deadline between '0001-01-08 00:00:00+00' and '9999-12-24 00:00:00+00'),
    unique_key text,
    unique_until text check (unique_until in ('started', 'each_start', 'finished', 'pruned')),
    unique_period double precision check (unique_period between 0 and 3162240000),
    retention double precision
);

-- Due now. awaited, here and in every place: jobs that wait for it have to be notified of its end and its retry. counts: what
-- it has been through, a JSON object as text that statements pass on unread; null is nothing. crates/core/src/counts.rs has
-- it.
-- Read by lane (backend, queue, task), then priority, deadline, id.
create table gristmill_ready (
    id uuid primary key,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    priority smallint not null,
    run_after timestamptz,
    deadline timestamptz not null,
    token bigint not null,
    generation integer not null,
    counts text,
    started_at timestamptz,
    awaited boolean not null default false
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

create index gristmill_ready_claim
    on gristmill_ready (backend, queue_name, task_name, priority, deadline, id);

-- Due later; the engine promotes rows to gristmill_ready when their date has come.
create table gristmill_scheduled (
    id uuid primary key,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    priority smallint not null,
    run_after timestamptz not null,
    deadline timestamptz not null,
    token bigint not null,
    generation integer not null,
    counts text,
    started_at timestamptz,
    awaited boolean not null default false
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

create index gristmill_scheduled_promote
    on gristmill_scheduled (run_after, id);

-- Kept back: by its gate, or by someone until they release it. stranded: so many preconditions have failed that the gate
-- cannot hold any more; it heals when enough of them are retried.
create table gristmill_waiting (
    id uuid primary key,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    priority smallint not null,
    run_after timestamptz,
    deadline timestamptz not null,
    token bigint not null,
    generation integer not null,
    counts text,
    started_at timestamptz,
    awaited boolean not null default false,
    stranded boolean not null default false,
    held boolean not null default false,
    held_reason text
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- The open attempt, committed before the handler's first instruction. started_at is the first attempt's start.
create table gristmill_running (
    id uuid primary key,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    priority smallint not null,
    run_after timestamptz,
    deadline timestamptz not null,
    token bigint not null,
    generation integer not null,
    counts text,
    started_at timestamptz,
    awaited boolean not null default false,
    worker_id uuid not null,
    claimed_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

create index gristmill_running_worker
    on gristmill_running (worker_id);

-- An attempt that has ended. Append only; (job_id, token) names it for ever.
create table gristmill_attempt (
    job_id uuid not null,
    token bigint not null,
    generation integer not null,
    worker_id uuid not null,
    runner_pid integer,
    claimed_at timestamptz not null,
    started_at timestamptz,
    ended_at timestamptz not null,
    outcome text not null,
    reason text,
    return_value text,
    exception_class_path text,
    traceback text,
    output text,
    primary key (job_id, token)
);

-- A job that has ended. token is that of the attempt that ended it, where the return value is. prune_at is set where the job
-- has a retention of its own. fingerprint: which failures are of one cause (crates/core/src/fingerprint.rs); null where it was
-- successful or cancelled, and where nothing of its own has failed.
create table gristmill_result (
    id uuid primary key,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    priority smallint not null,
    run_after timestamptz,
    deadline timestamptz not null,
    token bigint not null,
    generation integer not null,
    counts text,
    started_at timestamptz,
    awaited boolean not null default false,
    finished_at timestamptz not null,
    state text not null check (state in ('successful', 'failed', 'cancelled', 'poisoned')),
    reason text,
    prune_at timestamptz,
    fingerprint text
);

create index gristmill_result_prune
    on gristmill_result (finished_at, id);

create index gristmill_result_prune_at
    on gristmill_result (prune_at)
    where prune_at is not null;

-- Failures among millions of successes, newest first.
create index gristmill_result_unsuccessful
    on gristmill_result (finished_at, id)
    where state <> 'successful';

-- Failures of one cause, newest first.
create index gristmill_result_group
    on gristmill_result (fingerprint, finished_at, id)
    where state in ('failed', 'poisoned');

-- One failure of one cause, and the hour in which somebody was told of it: whoever adds the row tells.
create table gristmill_notice (
    fingerprint text not null,
    hour timestamptz not null,
    job_id uuid not null,
    primary key (fingerprint, hour)
);

create index gristmill_notice_prune
    on gristmill_notice (hour);

-- At most one job for each key, while it is in the states it declared: until it has started, whenever it waits ("each
-- start"), until it has finished, or until it is pruned; and no longer than expires_at. The move that leaves those states deletes the row.
create table gristmill_unique_key (
    key text primary key,
    job_id uuid not null,
    until text not null check (until in ('started', 'each_start', 'finished', 'pruned')),
    expires_at timestamptz
);

create index gristmill_unique_key_job
    on gristmill_unique_key (job_id);

-- What a job waits for: so many of its preconditions (all of them when needed is null). The counts are those of its edges of
-- its own epoch; they change in the statement that changes an edge, under this row's lock. A job that postpones itself for
-- more preconditions arms its gate anew, which begins another epoch. Not resolved: there are edges that nobody has held
-- against their preconditions yet.
create table gristmill_gate (
    job_id uuid primary key,
    needed integer check (needed > 0),
    on_precondition_failure text not null check (on_precondition_failure in ('strand', 'proceed', 'fail')),
    epoch integer not null,
    armed_at timestamptz not null,
    resolved boolean not null default false,
    open integer not null,
    successful integer not null,
    failed integer not null
) with (fillfactor = 50);

-- One job waits for another. The state is the precondition's as the gate counts it: cancelled, poisoned and stranded are
-- failed. It stays as it was when the precondition is forgotten.
create table gristmill_edge (
    precondition_id uuid not null,
    dependent_id uuid not null,
    state text not null default 'open' check (state in ('open', 'successful', 'failed')),
    epoch integer not null default 1,
    primary key (precondition_id, dependent_id)
);

create index gristmill_edge_dependent
    on gristmill_edge (dependent_id, precondition_id);

-- What the engine still has to carry through the graph, in short transactions of its own. notify: tell the jobs that wait for
-- job_id (or other_id alone) what became of it. resolve: hold the edges of job_id (or the one to other_id) against their
-- preconditions, then evaluate its gate. evaluate: that alone. raise_deadline: pass the deadline of job_id on to its
-- preconditions (or to other_id). seen: how far it has come, the last other end. checks: look for a circle through job_id
-- first. Rows are only added and taken away, so several may ask for the same, which does no harm: each goes by what is true
-- when it is carried out.
create table gristmill_propagation (
    id bigint generated by default as identity primary key,
    kind text not null check (kind in ('notify', 'resolve', 'evaluate', 'raise_deadline')),
    job_id uuid not null,
    other_id uuid,
    seen uuid,
    checks boolean not null default false,
    due_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

create index gristmill_propagation_due
    on gristmill_propagation (kind, due_at, id);

-- Someone wants this running job to end: the attempt of this token and any later one, until it has ended or is retried.
create table gristmill_cancel_request (
    job_id uuid primary key,
    token bigint not null,
    asked_at timestamptz not null
);

-- What a handler says of itself while it runs, and what stays of it when it has ended. metadata is a JSON object.
create table gristmill_progress (
    job_id uuid primary key,
    token bigint not null,
    done double precision,
    total double precision,
    message text,
    metadata text,
    updated_at timestamptz not null
);

-- What people did to a job: cancel, hold, release, retry, … Append only. other_id: of a job that was enqueued again, with other
-- arguments, the new one; of that, the one that was there.
create table gristmill_action (
    id uuid primary key,
    job_id uuid not null,
    verb text not null,
    token bigint not null,
    actor text not null,
    acted_at timestamptz not null,
    other_id uuid
);

create index gristmill_action_job
    on gristmill_action (job_id);

-- A queue that someone has paused; no row is a queue that runs.
create table gristmill_queue (
    backend text not null,
    queue_name text not null,
    paused_at timestamptz not null,
    reason text not null,
    primary key (backend, queue_name)
);

-- A rule that says when a job is wanted. origin: code (announced by workers as they start) or database (made by people,
-- for a task that allows it). queue_name: who ticks it. definition and job are JSON objects: the rule with its policies
-- and arguments, and what its jobs are like; crates/core/src/schedule/definition.rs has both. high_water: ticks up to it
-- are settled; it never goes back; null is a schedule that nobody has looked at yet. next_at: the next nominal instant,
-- null when there is none. problem: why it cannot tick.
create table gristmill_schedule (
    backend text not null,
    name text not null,
    origin text not null check (origin in ('code', 'database')),
    queue_name text not null,
    task_name text not null,
    definition text not null,
    job text not null,
    created_at timestamptz not null,
    defined_at timestamptz not null,
    removed_at timestamptz,
    paused_at timestamptz,
    paused_reason text,
    high_water timestamptz,
    next_at timestamptz,
    problem text,
    primary key (backend, name)
);

create index gristmill_schedule_due
    on gristmill_schedule (backend, next_at)
    where next_at is not null and paused_at is null and removed_at is null;

-- One nominal instant of a schedule and what became of it: a job, or the reason why there is none. by_hand: someone asked
-- for it at that moment; it is no instant of the rule. Append only; a tick that is there is never made again.
create table gristmill_tick (
    backend text not null,
    schedule text not null,
    nominal timestamptz not null,
    by_hand boolean not null default false,
    found_at timestamptz not null,
    job_id uuid,
    skipped text,
    primary key (backend, schedule, nominal),
    check ((job_id is null) = (skipped is not null))
);

create index gristmill_tick_job
    on gristmill_tick (job_id)
    where job_id is not null;

-- Whether a job of an earlier tick has not ended is asked past any number of ticks that were left out because of it.
create index gristmill_tick_made
    on gristmill_tick (backend, schedule, nominal)
    where job_id is not null;

-- One row for each boot of a worker; its id is never used again.
-- lease_seconds: how long after heartbeat_at the worker counts as alive, by this database's clock.
-- suspect_at: first phase of a rescue, taken back by the worker's next heartbeat; lost_at: second phase, for ever.
-- asked: what people want of it, which its next heartbeat tells it: to claim nothing (quiet), or to stop.
create table gristmill_worker (
    id uuid primary key,
    label text not null,
    host text not null,
    pid integer not null,
    version text not null,
    backend text not null,
    queues text not null,
    tasks text not null,
    processes integer not null,
    started_at timestamptz not null,
    heartbeat_at timestamptz not null,
    heartbeat_seconds double precision not null,
    lease_seconds double precision not null,
    idle boolean not null default false,
    suspect_at timestamptz,
    lost_at timestamptz,
    stopped_at timestamptz,
    exit_status integer,
    last_error text,
    asked text check (asked in ('quiet', 'stop')),
    asked_by text,
    asked_at timestamptz
) with (fillfactor = 50);

-- Not by heartbeat_at: heartbeats then leave the index alone.
create index gristmill_worker_live
    on gristmill_worker (id)
    where stopped_at is null and lost_at is null;

-- The pulse: what became of attempts, and how long they were due and ran, of one (backend, queue, task, outcome) in one
-- minute, hour or day; at is where it begins. Rows of jobs are pruned, these counts stay. level: 0 is a minute as one worker
-- appended it, 1 a minute of all workers, 2 an hour, 3 a day; several rows may be of the same, readers add them up. waits and
-- runs: how many fell into which bucket, a JSON list as text; crates/core/src/pulse.rs has the bounds. Empty names are those
-- of tasks that were too many to be counted by themselves. version: of the worker's code.
create table gristmill_pulse (
    id uuid primary key,
    level smallint not null check (level between 0 and 3),
    at timestamptz not null,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    outcome text not null,
    version text not null,
    attempts bigint not null,
    wait_seconds double precision not null,
    run_seconds double precision not null,
    waits text,
    runs text
);

create index gristmill_pulse_at
    on gristmill_pulse (level, at);

create index gristmill_pulse_task
    on gristmill_pulse (task_name, level, at);

-- How many jobs of a queue are ready and scheduled, counted to 10,001, and for how long the oldest has been due: at the
-- beginning of a minute, and the most of an hour or a day (levels as in gristmill_pulse). A queue that stays empty has no rows.
create table gristmill_depth (
    level smallint not null check (level between 1 and 3),
    at timestamptz not null,
    backend text not null,
    queue_name text not null,
    ready integer not null,
    scheduled integer not null,
    oldest_seconds double precision not null,
    primary key (level, at, backend, queue_name)
);

-- Gives a job its unique key back when it returns to wait, if the key is free. Someone who is about to take the key may
-- keep their transaction open for long; they get it, because an end of an attempt must not wait for them.
create function gristmill_take_back_key(id uuid, wanted text, until text, expires_at timestamptz) returns void
language plpgsql set lock_timeout = '50ms' as $$
begin
    insert into gristmill_unique_key (key, job_id, until, expires_at)
    values (wanted, id, until, expires_at)
    on conflict do nothing;
exception
    when lock_not_available then null;
end $$;

-- Whether a job waits for this one that has not ended. A function, as each statement in one sees what has been committed by
-- then, also after the statement that calls it began.
create function gristmill_is_awaited(id uuid) returns boolean language plpgsql as $$
begin
    return exists (
        select
        from gristmill_edge as edge
        where edge.precondition_id = gristmill_is_awaited.id
            and exists (select from gristmill_job as dependent where dependent.id = edge.dependent_id offset 0)
            and not exists (select from gristmill_result as ended where ended.id = edge.dependent_id offset 0)
    );
end $$;

-- What people read: every job once, with its state. The state is constant in each branch, so a filter on it reads one table.
create view gristmill_jobs as
select id, backend, queue_name, task_name, priority, state, reason, args, kwargs, options, enqueued_at, run_after, due_at, deadline,
    token, generation,
    coalesce(substring(counts from '"failures":\s*([0-9]{1,9})')::integer, 0) as failures,
    coalesce(substring(counts from '"crashes":\s*([0-9]{1,9})')::integer, 0) as crashes,
    coalesce(substring(counts from '"losses":\s*([0-9]{1,9})')::integer, 0) as losses,
    coalesce(substring(counts from '"postpones":\s*([0-9]{1,9})')::integer, 0) as postpones,
    coalesce(substring(counts from '"interruptions":\s*([0-9]{1,9})')::integer, 0) as interruptions,
    started_at, claimed_at, finished_at, worker_id, return_value
from (
    select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'ready' as state, null::text as reason,
        j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after as due_at, p.deadline, p.token, p.generation,
        p.counts, p.started_at, null::timestamptz as claimed_at, null::timestamptz as finished_at, null::uuid as worker_id, null::text as return_value
    from gristmill_ready p join gristmill_job j on j.id = p.id
    union all
    select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'scheduled', null,
        j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
        p.counts, p.started_at, null, null, null, null
    from gristmill_scheduled p join gristmill_job j on j.id = p.id
    union all
    select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'held', p.held_reason,
        j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
        p.counts, p.started_at, null, null, null, null
    from gristmill_waiting p join gristmill_job j on j.id = p.id
    where p.held
    union all
    select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'stranded', null,
        j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
        p.counts, p.started_at, null, null, null, null
    from gristmill_waiting p join gristmill_job j on j.id = p.id
    where p.stranded and not p.held
    union all
    select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'waiting', null,
        j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
        p.counts, p.started_at, null, null, null, null
    from gristmill_waiting p join gristmill_job j on j.id = p.id
    where not p.stranded and not p.held
    union all
    select p.id, p.backend, p.queue_name, p.task_name, p.priority, 'running', null,
        j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
        p.counts, coalesce(p.started_at, p.claimed_at), p.claimed_at, null, p.worker_id, null
    from gristmill_running p join gristmill_job j on j.id = p.id
    union all
    select p.id, p.backend, p.queue_name, p.task_name, p.priority, p.state, p.reason,
        j.args, j.kwargs, j.options, j.enqueued_at, j.run_after, p.run_after, p.deadline, p.token, p.generation,
        p.counts, p.started_at, a.claimed_at, p.finished_at, a.worker_id, a.return_value
    from gristmill_result p join gristmill_job j on j.id = p.id
    left join gristmill_attempt a on a.job_id = p.id and a.token = p.token
) as place;

insert into gristmill_schema (version, name) values (1, '0001_initial');
