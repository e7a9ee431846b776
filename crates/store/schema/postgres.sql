table gristmill_action
    id uuid not null
    job_id uuid not null
    verb text not null
    token bigint not null
    actor text not null
    acted_at timestamp with time zone not null
    gristmill_action_pkey PRIMARY KEY (id)
    CREATE INDEX gristmill_action_job ON gristmill_action USING btree (job_id)
    CREATE UNIQUE INDEX gristmill_action_pkey ON gristmill_action USING btree (id)
table gristmill_attempt
    job_id uuid not null
    token bigint not null
    generation integer not null
    worker_id uuid not null
    runner_pid integer
    claimed_at timestamp with time zone not null
    started_at timestamp with time zone
    ended_at timestamp with time zone not null
    outcome text not null
    reason text
    return_value text
    exception_class_path text
    traceback text
    output text
    gristmill_attempt_pkey PRIMARY KEY (job_id, token)
    CREATE UNIQUE INDEX gristmill_attempt_pkey ON gristmill_attempt USING btree (job_id, token)
table gristmill_control
    job_id uuid not null
    token bigint not null
    asked_at timestamp with time zone not null
    gristmill_control_pkey PRIMARY KEY (job_id)
    CREATE UNIQUE INDEX gristmill_control_pkey ON gristmill_control USING btree (job_id)
table gristmill_edge
    precondition_id uuid not null
    dependent_id uuid not null
    state text not null default 'open'::text
    arming integer not null default 1
    gristmill_edge_pkey PRIMARY KEY (precondition_id, dependent_id)
    gristmill_edge_state_check CHECK (state = ANY (ARRAY['open'::text, 'successful'::text, 'failed'::text]))
    CREATE INDEX gristmill_edge_dependent ON gristmill_edge USING btree (dependent_id, precondition_id)
    CREATE UNIQUE INDEX gristmill_edge_pkey ON gristmill_edge USING btree (precondition_id, dependent_id)
table gristmill_errand with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000, autovacuum_vacuum_cost_delay=0)
    id bigint not null
    kind text not null
    job_id uuid not null
    other_id uuid
    seen uuid
    checks boolean not null default false
    due_at timestamp with time zone not null
    gristmill_errand_kind_check CHECK (kind = ANY (ARRAY['spread'::text, 'settle'::text, 'judge'::text, 'hurry'::text]))
    gristmill_errand_pkey PRIMARY KEY (id)
    CREATE INDEX gristmill_errand_due ON gristmill_errand USING btree (kind, due_at, id)
    CREATE UNIQUE INDEX gristmill_errand_pkey ON gristmill_errand USING btree (id)
table gristmill_gate with (fillfactor=50)
    job_id uuid not null
    needed integer
    on_failure text not null
    arming integer not null
    armed_at timestamp with time zone not null
    settled boolean not null default false
    open integer not null
    successful integer not null
    failed integer not null
    gristmill_gate_needed_check CHECK (needed > 0)
    gristmill_gate_on_failure_check CHECK (on_failure = ANY (ARRAY['strand'::text, 'proceed'::text, 'fail'::text]))
    gristmill_gate_pkey PRIMARY KEY (job_id)
    CREATE UNIQUE INDEX gristmill_gate_pkey ON gristmill_gate USING btree (job_id)
table gristmill_job
    id uuid not null
    backend text not null
    queue_name text not null
    task_name text not null
    priority smallint not null
    run_after timestamp with time zone
    enqueued_at timestamp with time zone not null
    args text not null
    kwargs text not null
    options text
    deadline timestamp with time zone
    unique_key text
    unique_until text
    waits boolean not null default false
    held boolean not null default false
    awaited boolean not null default false
    gristmill_job_pkey PRIMARY KEY (id)
    gristmill_job_priority_check CHECK (priority >= '-100'::integer AND priority <= 100)
    gristmill_job_unique_until_check CHECK (unique_until = ANY (ARRAY['started'::text, 'finished'::text, 'pruned'::text]))
    CREATE UNIQUE INDEX gristmill_job_pkey ON gristmill_job USING btree (id)
    CREATE TRIGGER gristmill_job_place AFTER INSERT ON gristmill_job REFERENCING NEW TABLE AS asked FOR EACH STATEMENT EXECUTE FUNCTION gristmill_place()
view gristmill_jobs
    id uuid
    backend text
    queue_name text
    task_name text
    priority smallint
    state text
    reason text
    args text
    kwargs text
    options text
    enqueued_at timestamp with time zone
    run_after timestamp with time zone
    due_at timestamp with time zone
    deadline timestamp with time zone
    token bigint
    generation integer
    failures integer
    crashes integer
    losses integer
    postpones integer
    interruptions integer
    started_at timestamp with time zone
    claimed_at timestamp with time zone
    finished_at timestamp with time zone
    worker_id uuid
    return_value text
 SELECT p.id,
    p.backend,
    p.queue_name,
    p.task_name,
    p.priority,
    'ready'::text AS state,
    NULL::text AS reason,
    j.args,
    j.kwargs,
    j.options,
    j.enqueued_at,
    j.run_after,
    p.run_after AS due_at,
    p.deadline,
    p.token,
    p.generation,
    p.failures,
    p.crashes,
    p.losses,
    p.postpones,
    p.interruptions,
    p.started_at,
    NULL::timestamp with time zone AS claimed_at,
    NULL::timestamp with time zone AS finished_at,
    NULL::uuid AS worker_id,
    NULL::text AS return_value
   FROM gristmill_ready p
     JOIN gristmill_job j ON j.id = p.id
UNION ALL
 SELECT p.id,
    p.backend,
    p.queue_name,
    p.task_name,
    p.priority,
    'scheduled'::text AS state,
    NULL::text AS reason,
    j.args,
    j.kwargs,
    j.options,
    j.enqueued_at,
    j.run_after,
    p.run_after AS due_at,
    p.deadline,
    p.token,
    p.generation,
    p.failures,
    p.crashes,
    p.losses,
    p.postpones,
    p.interruptions,
    p.started_at,
    NULL::timestamp with time zone AS claimed_at,
    NULL::timestamp with time zone AS finished_at,
    NULL::uuid AS worker_id,
    NULL::text AS return_value
   FROM gristmill_scheduled p
     JOIN gristmill_job j ON j.id = p.id
UNION ALL
 SELECT p.id,
    p.backend,
    p.queue_name,
    p.task_name,
    p.priority,
    'held'::text AS state,
    p.held_reason AS reason,
    j.args,
    j.kwargs,
    j.options,
    j.enqueued_at,
    j.run_after,
    p.run_after AS due_at,
    p.deadline,
    p.token,
    p.generation,
    p.failures,
    p.crashes,
    p.losses,
    p.postpones,
    p.interruptions,
    p.started_at,
    NULL::timestamp with time zone AS claimed_at,
    NULL::timestamp with time zone AS finished_at,
    NULL::uuid AS worker_id,
    NULL::text AS return_value
   FROM gristmill_waiting p
     JOIN gristmill_job j ON j.id = p.id
  WHERE p.held
UNION ALL
 SELECT p.id,
    p.backend,
    p.queue_name,
    p.task_name,
    p.priority,
    'stranded'::text AS state,
    NULL::text AS reason,
    j.args,
    j.kwargs,
    j.options,
    j.enqueued_at,
    j.run_after,
    p.run_after AS due_at,
    p.deadline,
    p.token,
    p.generation,
    p.failures,
    p.crashes,
    p.losses,
    p.postpones,
    p.interruptions,
    p.started_at,
    NULL::timestamp with time zone AS claimed_at,
    NULL::timestamp with time zone AS finished_at,
    NULL::uuid AS worker_id,
    NULL::text AS return_value
   FROM gristmill_waiting p
     JOIN gristmill_job j ON j.id = p.id
  WHERE p.stranded AND NOT p.held
UNION ALL
 SELECT p.id,
    p.backend,
    p.queue_name,
    p.task_name,
    p.priority,
    'waiting'::text AS state,
    NULL::text AS reason,
    j.args,
    j.kwargs,
    j.options,
    j.enqueued_at,
    j.run_after,
    p.run_after AS due_at,
    p.deadline,
    p.token,
    p.generation,
    p.failures,
    p.crashes,
    p.losses,
    p.postpones,
    p.interruptions,
    p.started_at,
    NULL::timestamp with time zone AS claimed_at,
    NULL::timestamp with time zone AS finished_at,
    NULL::uuid AS worker_id,
    NULL::text AS return_value
   FROM gristmill_waiting p
     JOIN gristmill_job j ON j.id = p.id
  WHERE NOT p.stranded AND NOT p.held
UNION ALL
 SELECT p.id,
    p.backend,
    p.queue_name,
    p.task_name,
    p.priority,
    'running'::text AS state,
    NULL::text AS reason,
    j.args,
    j.kwargs,
    j.options,
    j.enqueued_at,
    j.run_after,
    p.run_after AS due_at,
    p.deadline,
    p.token,
    p.generation,
    p.failures,
    p.crashes,
    p.losses,
    p.postpones,
    p.interruptions,
    COALESCE(p.started_at, p.claimed_at) AS started_at,
    p.claimed_at,
    NULL::timestamp with time zone AS finished_at,
    p.worker_id,
    NULL::text AS return_value
   FROM gristmill_running p
     JOIN gristmill_job j ON j.id = p.id
UNION ALL
 SELECT p.id,
    p.backend,
    p.queue_name,
    p.task_name,
    p.priority,
    p.state,
    p.reason,
    j.args,
    j.kwargs,
    j.options,
    j.enqueued_at,
    j.run_after,
    p.run_after AS due_at,
    p.deadline,
    p.token,
    p.generation,
    p.failures,
    p.crashes,
    p.losses,
    p.postpones,
    p.interruptions,
    p.started_at,
    a.claimed_at,
    p.finished_at,
    a.worker_id,
    a.return_value
   FROM gristmill_result p
     JOIN gristmill_job j ON j.id = p.id
     LEFT JOIN gristmill_attempt a ON a.job_id = p.id AND a.token = p.token;
function gristmill_place
begin
    insert into gristmill_ready
        (id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, failures, crashes, losses, postpones, interruptions, awaited)
    select id, backend, queue_name, task_name, priority, run_after,
        coalesce(deadline, coalesce(run_after, enqueued_at) + interval '168 hours'), 0, 1, 0, 0, 0, 0, 0, awaited
    from asked
    where (run_after is null or run_after <= enqueued_at) and not waits and not held;
    insert into gristmill_scheduled
        (id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, failures, crashes, losses, postpones, interruptions, awaited)
    select id, backend, queue_name, task_name, priority, run_after,
        coalesce(deadline, run_after + interval '168 hours'), 0, 1, 0, 0, 0, 0, 0, awaited
    from asked
    where run_after > enqueued_at and not waits and not held;
    insert into gristmill_waiting
        (id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, failures, crashes, losses, postpones, interruptions, awaited, held)
    select id, backend, queue_name, task_name, priority, run_after,
        coalesce(deadline, coalesce(run_after, enqueued_at) + interval '168 hours'), 0, 1, 0, 0, 0, 0, 0, awaited, held
    from asked
    where waits or held;
    return null;
end 
table gristmill_progress
    job_id uuid not null
    token bigint not null
    done double precision
    total double precision
    message text
    metadata text
    updated_at timestamp with time zone not null
    gristmill_progress_pkey PRIMARY KEY (job_id)
    CREATE UNIQUE INDEX gristmill_progress_pkey ON gristmill_progress USING btree (job_id)
table gristmill_queue
    backend text not null
    queue_name text not null
    paused_at timestamp with time zone not null
    reason text not null
    gristmill_queue_pkey PRIMARY KEY (backend, queue_name)
    CREATE UNIQUE INDEX gristmill_queue_pkey ON gristmill_queue USING btree (backend, queue_name)
table gristmill_ready with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000, autovacuum_vacuum_cost_delay=0)
    id uuid not null
    backend text not null
    queue_name text not null
    task_name text not null
    priority smallint not null
    run_after timestamp with time zone
    deadline timestamp with time zone not null
    token bigint not null
    generation integer not null
    failures integer not null
    crashes integer not null
    losses integer not null
    postpones integer not null
    interruptions integer not null
    started_at timestamp with time zone
    awaited boolean not null default false
    gristmill_ready_pkey PRIMARY KEY (id)
    CREATE INDEX gristmill_ready_claim ON gristmill_ready USING btree (backend, queue_name, task_name, priority, deadline, id)
    CREATE UNIQUE INDEX gristmill_ready_pkey ON gristmill_ready USING btree (id)
table gristmill_result
    id uuid not null
    backend text not null
    queue_name text not null
    task_name text not null
    priority smallint not null
    run_after timestamp with time zone
    deadline timestamp with time zone not null
    token bigint not null
    generation integer not null
    failures integer not null
    crashes integer not null
    losses integer not null
    postpones integer not null
    interruptions integer not null
    started_at timestamp with time zone
    awaited boolean not null default false
    finished_at timestamp with time zone not null
    state text not null
    reason text
    prune_at timestamp with time zone
    gristmill_result_pkey PRIMARY KEY (id)
    gristmill_result_state_check CHECK (state = ANY (ARRAY['successful'::text, 'failed'::text, 'cancelled'::text, 'poisoned'::text]))
    CREATE UNIQUE INDEX gristmill_result_pkey ON gristmill_result USING btree (id)
    CREATE INDEX gristmill_result_prune ON gristmill_result USING btree (finished_at, id)
    CREATE INDEX gristmill_result_prune_at ON gristmill_result USING btree (prune_at) WHERE prune_at IS NOT NULL
table gristmill_running with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000, autovacuum_vacuum_cost_delay=0)
    id uuid not null
    backend text not null
    queue_name text not null
    task_name text not null
    priority smallint not null
    run_after timestamp with time zone
    deadline timestamp with time zone not null
    token bigint not null
    generation integer not null
    failures integer not null
    crashes integer not null
    losses integer not null
    postpones integer not null
    interruptions integer not null
    started_at timestamp with time zone
    awaited boolean not null default false
    worker_id uuid not null
    claimed_at timestamp with time zone not null
    gristmill_running_pkey PRIMARY KEY (id)
    CREATE UNIQUE INDEX gristmill_running_pkey ON gristmill_running USING btree (id)
    CREATE INDEX gristmill_running_worker ON gristmill_running USING btree (worker_id)
table gristmill_schedule
    backend text not null
    name text not null
    origin text not null
    queue_name text not null
    task_name text not null
    definition text not null
    job text not null
    created_at timestamp with time zone not null
    defined_at timestamp with time zone not null
    removed_at timestamp with time zone
    paused_at timestamp with time zone
    paused_reason text
    high_water timestamp with time zone
    next_at timestamp with time zone
    problem text
    gristmill_schedule_origin_check CHECK (origin = ANY (ARRAY['code'::text, 'database'::text]))
    gristmill_schedule_pkey PRIMARY KEY (backend, name)
    CREATE INDEX gristmill_schedule_due ON gristmill_schedule USING btree (backend, next_at) WHERE next_at IS NOT NULL AND paused_at IS NULL AND removed_at IS NULL
    CREATE UNIQUE INDEX gristmill_schedule_pkey ON gristmill_schedule USING btree (backend, name)
table gristmill_scheduled with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000, autovacuum_vacuum_cost_delay=0)
    id uuid not null
    backend text not null
    queue_name text not null
    task_name text not null
    priority smallint not null
    run_after timestamp with time zone not null
    deadline timestamp with time zone not null
    token bigint not null
    generation integer not null
    failures integer not null
    crashes integer not null
    losses integer not null
    postpones integer not null
    interruptions integer not null
    started_at timestamp with time zone
    awaited boolean not null default false
    gristmill_scheduled_pkey PRIMARY KEY (id)
    CREATE UNIQUE INDEX gristmill_scheduled_pkey ON gristmill_scheduled USING btree (id)
    CREATE INDEX gristmill_scheduled_promote ON gristmill_scheduled USING btree (run_after, id)
table gristmill_schema
    version integer not null
    name text not null
    applied_at timestamp with time zone not null default clock_timestamp()
    gristmill_schema_pkey PRIMARY KEY (version)
    CREATE UNIQUE INDEX gristmill_schema_pkey ON gristmill_schema USING btree (version)
function gristmill_take_back_key
begin
    insert into gristmill_unique_key (key, job_id, until)
    values (wanted, id, 'started')
    on conflict do nothing;
exception
    when lock_not_available then null;
end 
table gristmill_tick
    backend text not null
    schedule text not null
    nominal timestamp with time zone not null
    by_hand boolean not null default false
    found_at timestamp with time zone not null
    job_id uuid
    skipped text
    gristmill_tick_check CHECK ((job_id IS NULL) = (skipped IS NOT NULL))
    gristmill_tick_pkey PRIMARY KEY (backend, schedule, nominal)
    CREATE INDEX gristmill_tick_job ON gristmill_tick USING btree (job_id) WHERE job_id IS NOT NULL
    CREATE INDEX gristmill_tick_made ON gristmill_tick USING btree (backend, schedule, nominal) WHERE job_id IS NOT NULL
    CREATE UNIQUE INDEX gristmill_tick_pkey ON gristmill_tick USING btree (backend, schedule, nominal)
table gristmill_unique_key
    key text not null
    job_id uuid not null
    until text not null
    expires_at timestamp with time zone
    gristmill_unique_key_pkey PRIMARY KEY (key)
    gristmill_unique_key_until_check CHECK (until = ANY (ARRAY['started'::text, 'finished'::text, 'pruned'::text]))
    CREATE INDEX gristmill_unique_key_job ON gristmill_unique_key USING btree (job_id)
    CREATE UNIQUE INDEX gristmill_unique_key_pkey ON gristmill_unique_key USING btree (key)
table gristmill_waiting with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000, autovacuum_vacuum_cost_delay=0)
    id uuid not null
    backend text not null
    queue_name text not null
    task_name text not null
    priority smallint not null
    run_after timestamp with time zone
    deadline timestamp with time zone not null
    token bigint not null
    generation integer not null
    failures integer not null
    crashes integer not null
    losses integer not null
    postpones integer not null
    interruptions integer not null
    started_at timestamp with time zone
    awaited boolean not null default false
    stranded boolean not null default false
    held boolean not null default false
    held_reason text
    gristmill_waiting_pkey PRIMARY KEY (id)
    CREATE UNIQUE INDEX gristmill_waiting_pkey ON gristmill_waiting USING btree (id)
table gristmill_worker with (fillfactor=50)
    id uuid not null
    label text not null
    host text not null
    pid integer not null
    version text not null
    backend text not null
    queues text not null
    tasks text not null
    processes integer not null
    started_at timestamp with time zone not null
    heartbeat_at timestamp with time zone not null
    heartbeat_seconds double precision not null
    lease_seconds double precision not null
    idle boolean not null default false
    suspect_at timestamp with time zone
    lost_at timestamp with time zone
    stopped_at timestamp with time zone
    exit_status integer
    last_error text
    gristmill_worker_pkey PRIMARY KEY (id)
    CREATE INDEX gristmill_worker_live ON gristmill_worker USING btree (id) WHERE stopped_at IS NULL AND lost_at IS NULL
    CREATE UNIQUE INDEX gristmill_worker_pkey ON gristmill_worker USING btree (id)
