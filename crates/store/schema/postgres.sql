table gristmill_action
    id uuid not null
    job_id uuid not null
    verb text not null
    token bigint not null
    actor text not null
    acted_at timestamp with time zone not null
    other_id uuid
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
table gristmill_cancel_request
    job_id uuid not null
    token bigint not null
    asked_at timestamp with time zone not null
    gristmill_cancel_request_pkey PRIMARY KEY (job_id)
    CREATE UNIQUE INDEX gristmill_cancel_request_pkey ON gristmill_cancel_request USING btree (job_id)
function gristmill_conflict
#variable_conflict use_variable
declare
    holder record;
    to_place text;
begin
    select * into holder from gristmill_lock_holder(wanted);
    job_id := holder.job_id;
    has_moved := false;
    if holder.place is null
        or holder.place in ('running', 'result')
        or (holder.is_started and holder.until <> 'each_start')
    then
        return;
    end if;
    if on_conflict = 'keep' or holder.is_started then
        if holder.run_after is null or holder.run_after <= now or coalesce(run_after, now) >= holder.run_after then
            return;
        end if;
        priority := null;
        select job.deadline into deadline from gristmill_job as job where job.id = job_id;
    else
        update gristmill_job as job
        set args = gristmill_conflict.args, kwargs = gristmill_conflict.kwargs, options = gristmill_conflict.options,
            priority = gristmill_conflict.priority, run_after = gristmill_conflict.run_after,
            deadline = gristmill_conflict.deadline, retention = gristmill_conflict.retention,
            unique_period = gristmill_conflict.unique_period, enqueued_at = now
        where job.id = job_id;
    end if;
    has_moved := true;
    deadline := coalesce(deadline, coalesce(run_after, now) + interval '168 hours');
    to_place := case when holder.place = 'waiting' then 'waiting' when run_after > now then 'scheduled' else 'ready' end;
    if to_place = holder.place then
        execute format(
            'update gristmill_%s set priority = coalesce($2, priority), run_after = $3, deadline = $4 where id = $1', to_place
        )
        using job_id, priority, run_after, deadline;
    else
        execute format(
            'with moved as (delete from gristmill_%s where id = $1 returning *)
            insert into gristmill_%s (
                id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
                counts, started_at, awaited
            )
            select
                id, backend, queue_name, task_name, coalesce($2, priority), $3, $4, token, generation,
                counts, started_at, awaited
            from moved',
            holder.place, to_place
        )
        using job_id, priority, run_after, deadline;
    end if;
end 
table gristmill_depth
    level smallint not null
    at timestamp with time zone not null
    backend text not null
    queue_name text not null
    ready integer not null
    scheduled integer not null
    oldest_seconds double precision not null
    gristmill_depth_level_check CHECK (level >= 1 AND level <= 3)
    gristmill_depth_pkey PRIMARY KEY (level, at, backend, queue_name)
    CREATE UNIQUE INDEX gristmill_depth_pkey ON gristmill_depth USING btree (level, at, backend, queue_name)
table gristmill_edge
    precondition_id uuid not null
    dependent_id uuid not null
    state text not null default 'open'::text
    epoch integer not null default 1
    gristmill_edge_pkey PRIMARY KEY (precondition_id, dependent_id)
    gristmill_edge_state_check CHECK (state = ANY (ARRAY['open'::text, 'successful'::text, 'failed'::text]))
    CREATE INDEX gristmill_edge_dependent ON gristmill_edge USING btree (dependent_id, precondition_id)
    CREATE UNIQUE INDEX gristmill_edge_pkey ON gristmill_edge USING btree (precondition_id, dependent_id)
function gristmill_enqueue_one
#variable_conflict use_variable
declare
    edges integer;
begin
    enqueued_at := coalesce(now, clock_timestamp());
    made := false;
    idle := false;
    if after is not null then
        -- Locked against being forgotten before this commits, and against nothing else: only prune.sql minds.
        with known as materialized (
            select job.id
            from unnest(after) as wanted (id)
            cross join lateral (select known.id from gristmill_job as known where known.id = wanted.id for key share) as job
        )
        select array_agg(wanted.id) into unknown
        from unnest(after) as wanted (id)
        where wanted.id not in (select known.id from known);
        if unknown is not null then
            return;
        end if;
    end if;
    if unique_key is not null then
        insert into gristmill_unique_key (key, job_id, until, expires_at)
        values (unique_key, id, unique_until, enqueued_at + unique_period * interval '1 second')
        on conflict do nothing;
        if not found then
            delete from gristmill_unique_key as held
            where held.key = unique_key
                and (held.expires_at <= enqueued_at or gristmill_is_nowhere(held.job_id));
            if not found then
                return;
            end if;
            insert into gristmill_unique_key (key, job_id, until, expires_at)
            values (unique_key, id, unique_until, enqueued_at + unique_period * interval '1 second')
            on conflict do nothing;
            if not found then
                return;
            end if;
        end if;
    end if;
    made := true;
    due_at := coalesce(run_after, enqueued_at + run_delay * interval '1 second');
    deadline := coalesce(deadline, enqueued_at + deadline_delay * interval '1 second');
    insert into gristmill_job (
        id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs, options,
        deadline, unique_key, unique_until, unique_period, retention
    )
    values (
        id, backend, queue_name, task_name, priority, due_at, enqueued_at, args, kwargs, options,
        deadline, unique_key, case when unique_key is not null then unique_until end, unique_period, retention
    );
    deadline := coalesce(deadline, coalesce(due_at, enqueued_at) + interval '168 hours');
    if held or after is not null then
        insert into gristmill_waiting (
            id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, held
        )
        values (id, backend, queue_name, task_name, priority, due_at, deadline, 0, 1, held);
    elsif due_at > enqueued_at then
        insert into gristmill_scheduled (
            id, backend, queue_name, task_name, priority, run_after, deadline, token, generation
        )
        values (id, backend, queue_name, task_name, priority, due_at, deadline, 0, 1);
    else
        insert into gristmill_ready (
            id, backend, queue_name, task_name, priority, run_after, deadline, token, generation
        )
        values (id, backend, queue_name, task_name, priority, due_at, deadline, 0, 1);
    end if;
    if after is not null then
        insert into gristmill_edge (precondition_id, dependent_id)
        select distinct wanted.id, gristmill_enqueue_one.id
        from unnest(after) as wanted (id);
        get diagnostics edges = row_count;
        insert into gristmill_gate (job_id, needed, on_precondition_failure, epoch, armed_at, resolved, open, successful, failed)
        values (id, needed, coalesce(on_precondition_failure, 'strand'), 1, enqueued_at, false, edges, 0, 0);
        insert into gristmill_propagation (kind, job_id, due_at)
        values ('resolve', id, enqueued_at);
    end if;
    idle := exists (
        select
        from gristmill_worker as worker
        where worker.idle
            and worker.stopped_at is null
            and worker.lost_at is null
            and worker.heartbeat_at > clock_timestamp() - worker.lease_seconds * interval '1 second'
    );
end 
table gristmill_gate with (fillfactor=50)
    job_id uuid not null
    needed integer
    on_precondition_failure text not null
    epoch integer not null
    armed_at timestamp with time zone not null
    resolved boolean not null default false
    open integer not null
    successful integer not null
    failed integer not null
    gristmill_gate_needed_check CHECK (needed > 0)
    gristmill_gate_on_precondition_failure_check CHECK (on_precondition_failure = ANY (ARRAY['strand'::text, 'proceed'::text, 'fail'::text]))
    gristmill_gate_pkey PRIMARY KEY (job_id)
    CREATE UNIQUE INDEX gristmill_gate_pkey ON gristmill_gate USING btree (job_id)
function gristmill_is_awaited
begin
    return exists (
        select
        from gristmill_edge as edge
        where edge.precondition_id = gristmill_is_awaited.id
            and exists (select from gristmill_job as dependent where dependent.id = edge.dependent_id offset 0)
            and not exists (select from gristmill_result as ended where ended.id = edge.dependent_id offset 0)
    );
end 
function gristmill_is_nowhere
    select not exists (select from gristmill_job where id = wanted)
        or not (
            exists (select from gristmill_ready where id = wanted)
            or exists (select from gristmill_scheduled where id = wanted)
            or exists (select from gristmill_waiting where id = wanted)
            or exists (select from gristmill_running where id = wanted)
            or exists (select from gristmill_result where id = wanted)
        )

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
    unique_period double precision
    retention double precision
    gristmill_job_deadline_check CHECK (deadline >= '0001-01-08 00:00:00+00'::timestamp with time zone AND deadline <= '9999-12-24 00:00:00+00'::timestamp with time zone)
    gristmill_job_enqueued_at_check CHECK (enqueued_at >= '0001-01-08 00:00:00+00'::timestamp with time zone AND enqueued_at <= '9999-12-24 00:00:00+00'::timestamp with time zone)
    gristmill_job_pkey PRIMARY KEY (id)
    gristmill_job_priority_check CHECK (priority >= '-100'::integer AND priority <= 100)
    gristmill_job_run_after_check CHECK (run_after >= '0001-01-08 00:00:00+00'::timestamp with time zone AND run_after <= '9999-12-24 00:00:00+00'::timestamp with time zone)
    gristmill_job_unique_period_check CHECK (unique_period >= 0::double precision AND unique_period <= '3162240000'::bigint::double precision)
    gristmill_job_unique_until_check CHECK (unique_until = ANY (ARRAY['started'::text, 'each_start'::text, 'finished'::text, 'pruned'::text]))
    CREATE UNIQUE INDEX gristmill_job_pkey ON gristmill_job USING btree (id)
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
 SELECT place.id,
    place.backend,
    place.queue_name,
    place.task_name,
    place.priority,
    place.state,
    place.reason,
    place.args,
    place.kwargs,
    place.options,
    place.enqueued_at,
    place.run_after,
    place.due_at,
    place.deadline,
    place.token,
    place.generation,
    COALESCE("substring"(place.counts, '"failures":\s*([0-9]{1,9})'::text)::integer, 0) AS failures,
    COALESCE("substring"(place.counts, '"crashes":\s*([0-9]{1,9})'::text)::integer, 0) AS crashes,
    COALESCE("substring"(place.counts, '"losses":\s*([0-9]{1,9})'::text)::integer, 0) AS losses,
    COALESCE("substring"(place.counts, '"postpones":\s*([0-9]{1,9})'::text)::integer, 0) AS postpones,
    COALESCE("substring"(place.counts, '"interruptions":\s*([0-9]{1,9})'::text)::integer, 0) AS interruptions,
    place.started_at,
    place.claimed_at,
    place.finished_at,
    place.worker_id,
    place.return_value
   FROM ( SELECT p.id,
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
            p.counts,
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
            'scheduled'::text,
            NULL::text,
            j.args,
            j.kwargs,
            j.options,
            j.enqueued_at,
            j.run_after,
            p.run_after,
            p.deadline,
            p.token,
            p.generation,
            p.counts,
            p.started_at,
            NULL::timestamp with time zone,
            NULL::timestamp with time zone,
            NULL::uuid,
            NULL::text
           FROM gristmill_scheduled p
             JOIN gristmill_job j ON j.id = p.id
        UNION ALL
         SELECT p.id,
            p.backend,
            p.queue_name,
            p.task_name,
            p.priority,
            'held'::text,
            p.held_reason,
            j.args,
            j.kwargs,
            j.options,
            j.enqueued_at,
            j.run_after,
            p.run_after,
            p.deadline,
            p.token,
            p.generation,
            p.counts,
            p.started_at,
            NULL::timestamp with time zone,
            NULL::timestamp with time zone,
            NULL::uuid,
            NULL::text
           FROM gristmill_waiting p
             JOIN gristmill_job j ON j.id = p.id
          WHERE p.held
        UNION ALL
         SELECT p.id,
            p.backend,
            p.queue_name,
            p.task_name,
            p.priority,
            'stranded'::text,
            NULL::text,
            j.args,
            j.kwargs,
            j.options,
            j.enqueued_at,
            j.run_after,
            p.run_after,
            p.deadline,
            p.token,
            p.generation,
            p.counts,
            p.started_at,
            NULL::timestamp with time zone,
            NULL::timestamp with time zone,
            NULL::uuid,
            NULL::text
           FROM gristmill_waiting p
             JOIN gristmill_job j ON j.id = p.id
          WHERE p.stranded AND NOT p.held
        UNION ALL
         SELECT p.id,
            p.backend,
            p.queue_name,
            p.task_name,
            p.priority,
            'waiting'::text,
            NULL::text,
            j.args,
            j.kwargs,
            j.options,
            j.enqueued_at,
            j.run_after,
            p.run_after,
            p.deadline,
            p.token,
            p.generation,
            p.counts,
            p.started_at,
            NULL::timestamp with time zone,
            NULL::timestamp with time zone,
            NULL::uuid,
            NULL::text
           FROM gristmill_waiting p
             JOIN gristmill_job j ON j.id = p.id
          WHERE NOT p.stranded AND NOT p.held
        UNION ALL
         SELECT p.id,
            p.backend,
            p.queue_name,
            p.task_name,
            p.priority,
            'running'::text,
            NULL::text,
            j.args,
            j.kwargs,
            j.options,
            j.enqueued_at,
            j.run_after,
            p.run_after,
            p.deadline,
            p.token,
            p.generation,
            p.counts,
            COALESCE(p.started_at, p.claimed_at) AS "coalesce",
            p.claimed_at,
            NULL::timestamp with time zone,
            p.worker_id,
            NULL::text
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
            p.run_after,
            p.deadline,
            p.token,
            p.generation,
            p.counts,
            p.started_at,
            a.claimed_at,
            p.finished_at,
            a.worker_id,
            a.return_value
           FROM gristmill_result p
             JOIN gristmill_job j ON j.id = p.id
             LEFT JOIN gristmill_attempt a ON a.job_id = p.id AND a.token = p.token) place;
function gristmill_keep_version
declare
    known boolean;
begin
    execute format('select exists (select from %I.gristmill_schema where version = $1)', tg_table_schema)
    into known using new.version;
    return case when not known then new end;
end 
function gristmill_lock_holder
#variable_conflict use_variable
begin
    select held.job_id, held.until into job_id, until from gristmill_unique_key as held where held.key = wanted;
    select 'ready', here.run_after, here.started_at is not null into place, run_after, is_started
    from gristmill_ready as here where here.id = job_id for update;
    if place is null then
        select 'scheduled', here.run_after, here.started_at is not null into place, run_after, is_started
        from gristmill_scheduled as here where here.id = job_id for update;
    end if;
    if place is null then
        select 'waiting', here.run_after, here.started_at is not null into place, run_after, is_started
        from gristmill_waiting as here where here.id = job_id for update;
    end if;
    if place is null and until in ('finished', 'pruned') then
        select 'running', true into place, is_started
        from gristmill_running as here
        join gristmill_job as job on job.id = here.id
        where here.id = job_id
        for key share of job;
    end if;
    if place is null and until = 'pruned' then
        select 'result', true into place, is_started
        from gristmill_result as here
        join gristmill_job as job on job.id = here.id
        where here.id = job_id
        for key share of job;
    end if;
    if place is null then
        job_id := null;
    end if;
end 
table gristmill_notice
    fingerprint text not null
    hour timestamp with time zone not null
    job_id uuid not null
    gristmill_notice_pkey PRIMARY KEY (fingerprint, hour)
    CREATE UNIQUE INDEX gristmill_notice_pkey ON gristmill_notice USING btree (fingerprint, hour)
    CREATE INDEX gristmill_notice_prune ON gristmill_notice USING btree (hour)
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
table gristmill_propagation with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000, autovacuum_vacuum_cost_delay=0)
    id bigint not null
    kind text not null
    job_id uuid not null
    other_id uuid
    seen uuid
    checks boolean not null default false
    due_at timestamp with time zone not null
    gristmill_propagation_kind_check CHECK (kind = ANY (ARRAY['notify'::text, 'resolve'::text, 'evaluate'::text, 'raise_deadline'::text]))
    gristmill_propagation_pkey PRIMARY KEY (id)
    CREATE INDEX gristmill_propagation_due ON gristmill_propagation USING btree (kind, due_at, id)
    CREATE UNIQUE INDEX gristmill_propagation_pkey ON gristmill_propagation USING btree (id)
table gristmill_pulse
    id uuid not null
    level smallint not null
    at timestamp with time zone not null
    backend text not null
    queue_name text not null
    task_name text not null
    outcome text not null
    version text not null
    attempts bigint not null
    wait_seconds double precision not null
    run_seconds double precision not null
    waits text
    runs text
    gristmill_pulse_level_check CHECK (level >= 0 AND level <= 3)
    gristmill_pulse_pkey PRIMARY KEY (id)
    CREATE INDEX gristmill_pulse_at ON gristmill_pulse USING btree (level, at)
    CREATE UNIQUE INDEX gristmill_pulse_pkey ON gristmill_pulse USING btree (id)
    CREATE INDEX gristmill_pulse_task ON gristmill_pulse USING btree (task_name, level, at)
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
    counts text
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
    counts text
    started_at timestamp with time zone
    awaited boolean not null default false
    finished_at timestamp with time zone not null
    state text not null
    reason text
    prune_at timestamp with time zone
    fingerprint text
    gristmill_result_pkey PRIMARY KEY (id)
    gristmill_result_state_check CHECK (state = ANY (ARRAY['successful'::text, 'failed'::text, 'cancelled'::text, 'poisoned'::text]))
    CREATE INDEX gristmill_result_group ON gristmill_result USING btree (fingerprint, finished_at, id) WHERE state = ANY (ARRAY['failed'::text, 'poisoned'::text])
    CREATE UNIQUE INDEX gristmill_result_pkey ON gristmill_result USING btree (id)
    CREATE INDEX gristmill_result_prune ON gristmill_result USING btree (finished_at, id)
    CREATE INDEX gristmill_result_prune_at ON gristmill_result USING btree (prune_at) WHERE prune_at IS NOT NULL
    CREATE INDEX gristmill_result_unsuccessful ON gristmill_result USING btree (finished_at, id) WHERE state <> 'successful'::text
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
    counts text
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
    counts text
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
    CREATE TRIGGER gristmill_schema_keep BEFORE INSERT ON gristmill_schema FOR EACH ROW EXECUTE FUNCTION gristmill_keep_version()
function gristmill_take_back_key
begin
    insert into gristmill_unique_key (key, job_id, until, expires_at)
    values (wanted, id, until, expires_at)
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
    gristmill_unique_key_until_check CHECK (until = ANY (ARRAY['started'::text, 'each_start'::text, 'finished'::text, 'pruned'::text]))
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
    counts text
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
    asked text
    asked_by text
    asked_at timestamp with time zone
    gristmill_worker_asked_check CHECK (asked = ANY (ARRAY['quiet'::text, 'stop'::text]))
    gristmill_worker_pkey PRIMARY KEY (id)
    CREATE INDEX gristmill_worker_live ON gristmill_worker USING btree (id) WHERE stopped_at IS NULL AND lost_at IS NULL
    CREATE UNIQUE INDEX gristmill_worker_pkey ON gristmill_worker USING btree (id)
