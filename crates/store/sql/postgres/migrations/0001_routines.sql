-- statements: 4
-- What the verbs of an enqueue carry out: of the tables that 0001_initial.sql makes, and part of the same migration.

-- Whether a job is nowhere: a key and its job come and go in one commit, and so do the places of a move, so who is nowhere in
-- one statement has been deleted by hand, and has no right to a key.
create function gristmill_is_nowhere(wanted uuid) returns boolean language sql stable as $$
    select not exists (select from gristmill_job where id = wanted)
        or not (
            exists (select from gristmill_ready where id = wanted)
            or exists (select from gristmill_scheduled where id = wanted)
            or exists (select from gristmill_waiting where id = wanted)
            or exists (select from gristmill_running where id = wanted)
            or exists (select from gristmill_result where id = wanted)
        )
$$;

-- What enqueue_one.sql carries out. A function, whose plans a session keeps: to plan its statements costs more than to run them.
create function gristmill_enqueue_one(
    id uuid, backend text, queue_name text, task_name text, priority smallint, args text, kwargs text, options text,
    run_after timestamptz, run_delay double precision, deadline timestamptz, deadline_delay double precision,
    retention double precision, held boolean, unique_key text, unique_until text, unique_period double precision,
    after uuid[], needed integer, on_precondition_failure text, now timestamptz,
    out made boolean, out enqueued_at timestamptz, out due_at timestamptz, out idle boolean, out unknown uuid[]
) language plpgsql as $$
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
end $$;

-- The job that has a key, its place locked where it waits; null where it has moved on. The key's own row is not locked: a
-- worker that claims the job would wait. A job that runs or has ended is only kept from being pruned.
create function gristmill_lock_holder(
    wanted text,
    out job_id uuid, out place text, out run_after timestamptz, out is_started boolean, out until text
) language plpgsql as $$
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
end $$;

-- What conflict.sql does for one key.
create function gristmill_conflict(
    wanted text, on_conflict text, priority smallint, args text, kwargs text, options text,
    run_after timestamptz, deadline timestamptz, retention double precision, unique_period double precision, now timestamptz,
    out job_id uuid, out has_moved boolean
) language plpgsql as $$
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
end $$;
