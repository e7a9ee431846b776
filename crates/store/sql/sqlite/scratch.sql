-- statements: 7
-- What the verbs that carry ends through the graph put down for each other within one transaction: made once a connection,
-- emptied by whoever begins. In memory, of one connection alone.
create temp table if not exists gristmill_held (
    precondition_id text not null,
    dependent_id text not null,
    old_state text not null,
    old_epoch integer not null,
    state text not null,
    epoch integer not null,
    current integer not null,
    primary key (dependent_id, precondition_id)
) without rowid;

create temp table if not exists gristmill_evaluated (id text primary key, resolved integer not null) without rowid;

create temp table if not exists gristmill_verdict (
    id text primary key,
    needs_all integer not null,
    on_precondition_failure text not null,
    holds integer not null,
    is_hopeless integer not null,
    waits integer not null
) without rowid;

create temp table if not exists gristmill_moved (
    id text primary key,
    what text not null,
    backend text not null,
    queue_name text not null,
    task_name text not null,
    priority integer not null,
    deadline text not null,
    awaited integer not null,
    stranded integer not null
) without rowid;

create temp table if not exists gristmill_picked (
    id integer primary key,
    kind text not null,
    due_at text not null,
    job_id text not null,
    other_id text,
    seen text,
    edges integer
);

create temp table if not exists gristmill_next (
    propagation_id integer not null,
    precondition_id text not null,
    dependent_id text not null,
    primary key (propagation_id, precondition_id, dependent_id)
) without rowid;

create temp table if not exists gristmill_wanted (id text primary key, deadline text) without rowid;
