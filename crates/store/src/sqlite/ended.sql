-- The attempts of one finish, read out of their JSON; emptied before each.
create temp table gristmill_ended (
    id text not null,
    token integer not null,
    outcome text,
    runner_pid integer,
    started_after_us integer,
    reason text,
    return_value text,
    exception_class_path text,
    traceback text,
    next text not null,
    state text,
    state_reason text,
    delay_us integer,
    failures integer not null,
    crashes integer not null,
    losses integer not null,
    postpones integer not null,
    interruptions integer not null,
    now text not null
)
