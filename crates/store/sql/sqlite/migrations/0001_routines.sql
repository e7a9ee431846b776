-- statements: 4
-- What the verbs of an enqueue carry out: of the tables that 0001_initial.sql makes, and part of the same migration.

-- What enqueue_one.sql and enqueue.sql insert into: a job as it is asked for. SQLite has no routines; a view's trigger is one.
-- It costs one statement a job, which is also all that a transaction of its own needs. now: null is this machine's clock,
-- one moment throughout a statement. waits: enqueue_gates.sql says for what; after: for these, as a list.
create view gristmill_enqueue as
select id, backend, queue_name, task_name, priority, args, kwargs, options, run_after, null as run_delay,
    deadline, null as deadline_delay, retention, null as held, unique_key, unique_until, unique_period,
    null as waits, null as awaited, null as after, null as needed, null as on_precondition_failure, enqueued_at as now
from gristmill_job;

-- One that is due at once and has neither key nor preconditions, which most are.
create trigger gristmill_enqueue_plain instead of insert on gristmill_enqueue
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

-- One that is kept back or waits for others, whose gate is made apart, and that has no key: a graph has thousands of them.
create trigger gristmill_enqueue_kept instead of insert on gristmill_enqueue
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

create trigger gristmill_enqueue_one instead of insert on gristmill_enqueue
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
