-- statements: 43
-- Gristmill's tables: rows move, they are not updated.
-- A job is asked for once (gristmill_job) and then has exactly one place row at any moment: in
-- gristmill_ready, gristmill_scheduled, gristmill_waiting, gristmill_running or gristmill_result. Place rows share their
-- columns, so a move is a delete that returns the row and an insert that takes it.
-- Moments are UTC text as Django writes them on SQLite: 'YYYY-MM-DD HH:MM:SS.ffffff'. Ids are 32 hex digits.

create table gristmill_schema (
    version integer primary key,
    name text not null,
    applied_at datetime not null default (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);

-- Whoever restores a dump into tables that are there brings their versions along: those that are known stay as they are.
create trigger gristmill_schema_keep before insert on gristmill_schema
when exists (select 1 from gristmill_schema where version = new.version)
begin
    select raise(ignore);
end;

-- What was asked. Written once, but for a unique job that replaces another and for a change of priority or queue. args, kwargs
-- and options are JSON as text: the engine passes the first two on unread. deadline orders work of one priority; null is seven days after it is due.
-- Dates lie a week from either end of the years 1 to 9999, so that a deadline a week after one is a date too.
-- unique_period: seconds from the enqueue after which it keeps its key from nobody, whatever becomes of it. retention: seconds
-- that its result is kept; null is as long as the worker says. A period is a hundred years at most.
create table gristmill_job (
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

-- Due now. awaited, here and in every place: jobs that wait for it have to be notified of its end and its retry. counts: what
-- it has been through, a JSON object as text that statements pass on unread; null is nothing. crates/core/src/counts.rs has
-- it.
-- Read by lane (backend, queue, task), then priority, deadline, id.
create table gristmill_ready (
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

create index gristmill_ready_claim
    on gristmill_ready (backend, queue_name, task_name, priority, deadline, id);

-- Due later; the engine promotes rows to gristmill_ready when their date has come.
create table gristmill_scheduled (
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

create index gristmill_scheduled_promote
    on gristmill_scheduled (run_after, id);

-- Kept back: by its gate, or by someone until they release it. stranded: so many preconditions have failed that the gate
-- cannot hold any more; it heals when enough of them are retried.
create table gristmill_waiting (
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

-- The open attempt, committed before the handler's first instruction. started_at is the first attempt's start.
create table gristmill_running (
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

create index gristmill_running_worker
    on gristmill_running (worker_id);

-- An attempt that has ended. Append only; (job_id, token) names it for ever.
create table gristmill_attempt (
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

-- A job that has ended. token is that of the attempt that ended it, where the return value is. prune_at is set where the job
-- has a retention of its own. fingerprint: which failures are of one cause (crates/core/src/fingerprint.rs); null where it was
-- successful or cancelled, and where nothing of its own has failed.
create table gristmill_result (
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
    hour datetime not null,
    job_id char(32) not null,
    primary key (fingerprint, hour)
) without rowid;

create index gristmill_notice_prune
    on gristmill_notice (hour);

-- At most one job for each key, while it is in the states it declared: until it has started, whenever it waits ("each
-- start"), until it has finished, or until it is pruned; and no longer than expires_at. The move that leaves those states deletes the row.
create table gristmill_unique_key (
    key text primary key,
    job_id char(32) not null,
    until text not null check (until in ('started', 'each_start', 'finished', 'pruned')),
    expires_at datetime
) without rowid;

create index gristmill_unique_key_job
    on gristmill_unique_key (job_id);

-- What a job waits for: so many of its preconditions (all of them when needed is null). The counts are those of its edges of
-- its own epoch; they change in the statement that changes an edge, under this row's lock. A job that postpones itself for
-- more preconditions arms its gate anew, which begins another epoch. Not resolved: there are edges that nobody has held
-- against their preconditions yet.
create table gristmill_gate (
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

-- One job waits for another. The state is the precondition's as the gate counts it: cancelled, poisoned and stranded are
-- failed. It stays as it was when the precondition is forgotten.
create table gristmill_edge (
    precondition_id char(32) not null,
    dependent_id char(32) not null,
    state text not null default 'open' check (state in ('open', 'successful', 'failed')),
    epoch integer not null default 1,
    primary key (precondition_id, dependent_id)
) without rowid;

create index gristmill_edge_dependent
    on gristmill_edge (dependent_id, precondition_id);

-- What the engine still has to carry through the graph, in short transactions of its own. notify: tell the jobs that wait for
-- job_id (or other_id alone) what became of it. resolve: hold the edges of job_id (or the one to other_id) against their
-- preconditions, then evaluate its gate. evaluate: that alone. raise_deadline: pass the deadline of job_id on to its
-- preconditions (or to other_id). seen: how far it has come, the last other end. checks: look for a circle through job_id
-- first. Rows are only added and taken away, so several may ask for the same, which does no harm: each goes by what is true
-- when it is carried out.
create table gristmill_propagation (
    id integer primary key,
    kind text not null check (kind in ('notify', 'resolve', 'evaluate', 'raise_deadline')),
    job_id char(32) not null,
    other_id char(32),
    seen char(32),
    checks bool not null default 0,
    due_at datetime not null
);

-- Each entry of an index ends with the row's number, which is the id: named here too, a search by it finds nothing in some
-- versions of SQLite.
create index gristmill_propagation_due
    on gristmill_propagation (kind, due_at);

-- Someone wants this running job to end: the attempt of this token and any later one, until it has ended or is retried.
create table gristmill_cancel_request (
    job_id char(32) primary key,
    token integer not null,
    asked_at datetime not null
) without rowid;

-- What a handler says of itself while it runs, and what stays of it when it has ended. metadata is a JSON object.
create table gristmill_progress (
    job_id char(32) primary key,
    token integer not null,
    done real,
    total real,
    message text,
    metadata text,
    updated_at datetime not null
) without rowid;

-- What people did to a job: cancel, hold, release, retry, … Append only. other_id: of a job that was enqueued again, with other
-- arguments, the new one; of that, the one that was there.
create table gristmill_action (
    id char(32) primary key,
    job_id char(32) not null,
    verb text not null,
    token integer not null,
    actor text not null,
    acted_at datetime not null,
    other_id char(32)
) without rowid;

create index gristmill_action_job
    on gristmill_action (job_id);

-- A queue that someone has paused; no row is a queue that runs.
create table gristmill_queue (
    backend text not null,
    queue_name text not null,
    paused_at datetime not null,
    reason text not null,
    primary key (backend, queue_name)
) without rowid;

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

create index gristmill_schedule_due
    on gristmill_schedule (backend, next_at)
    where next_at is not null and paused_at is null and removed_at is null;

-- One nominal instant of a schedule and what became of it: a job, or the reason why there is none. by_hand: someone asked
-- for it at that moment; it is no instant of the rule. Append only; a tick that is there is never made again.
create table gristmill_tick (
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

create index gristmill_pulse_at
    on gristmill_pulse (level, at);

create index gristmill_pulse_task
    on gristmill_pulse (task_name, level, at);

-- How many jobs of a queue are ready and scheduled, counted to 10,001, and for how long the oldest has been due: at the
-- beginning of a minute, and the most of an hour or a day (levels as in gristmill_pulse). A queue that stays empty has no rows.
create table gristmill_depth (
    level smallint not null check (level between 1 and 3),
    at datetime not null,
    backend text not null,
    queue_name text not null,
    ready integer not null,
    scheduled integer not null,
    oldest_seconds real not null,
    primary key (level, at, backend, queue_name)
) without rowid;

-- What people read: every job once, with its state. The state is constant in each branch, so a filter on it reads one table.
create view gristmill_jobs as
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

insert into gristmill_schema (version, name) values (1, '0001_initial');
