-- What the watcher calls; each gives a text. Strange rows: a thousand in each table, which no statement has any business with. They are far in the
-- future, of another backend, and of ids of their own; what runs has a worker that lives. A column's value goes by its
-- name and type, so that a new table has strange rows without being listed.
create function strange_rows() returns text language plpgsql as $$
declare
    place record;
begin
    set local session_replication_role = replica;
    for place in
        select
            c.oid::regclass::text as name,
            string_agg(quote_ident(a.attname), ', ' order by a.attnum) as columns,
            string_agg(case
                when a.attname = 'skipped' then '''ballast'''
                when c.relname = 'gristmill_tick' and a.attname = 'job_id' then 'null'
                when c.relname = 'gristmill_cancel_request' and a.attname = 'job_id' then 'uuid_of(''running'', n)'
                when c.relname = 'gristmill_worker' and a.attname = 'id' then 'uuid_of(''worker'', n)'
                when a.attname = 'worker_id' then 'uuid_of(''worker'', n)'
                when t.typname = 'uuid' then format('uuid_of(%L, n)', substring(c.relname from 'gristmill_(.*)'))
                when a.attname = 'kind' then '(array[''notify'', ''resolve'', ''evaluate'', ''raise_deadline''])[1 + n % 4]'
                when a.attname in ('state') then case c.relname when 'gristmill_edge' then '''open''' else '''successful''' end
                when a.attname = 'asked' then '''quiet'''
                when a.attname in ('until', 'unique_until') then '''pruned'''
                when a.attname = 'on_precondition_failure' then '''strand'''
                when a.attname = 'origin' then '''code'''
                when a.attname in ('prune_at', 'stopped_at', 'lost_at', 'suspect_at', 'removed_at', 'next_at') then 'null'
                -- One lane, and one schedule's ticks: of these a statement may look at each.
                when a.attname in ('queue_name', 'task_name', 'schedule') and c.relname <> 'gristmill_queue' then '''strange'''
                when a.attname = 'backend' and c.relname not in ('gristmill_queue', 'gristmill_schedule') then '''strange'''
                when t.typname = 'text' then format('%L || n', a.attname)
                when t.typname = 'bool' then 'false'
                when t.typname = 'timestamptz' then 'timestamptz ''2900-01-01'' + n * interval ''1 second'''
                when a.attname = 'version' then '1000 + n'
                when a.attname = 'id' then '1000000000 + n'
                when a.attname = 'priority' then '0'
                else '1'
            end, ', ' order by a.attnum) as expressions
        from pg_class as c
        join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        join pg_type as t on t.oid = a.atttypid
        where c.relkind = 'r' and c.relname like 'gristmill\_%' and c.relname <> 'gristmill_schema'
        group by c.oid, c.relname
    loop
        -- On pages with little else: a table of a few pages may be read whole, and is.
        execute format('alter table %s set (fillfactor = 10)', place.name);
        execute format('insert into %s (%s) select %s from generate_series(1, 1000) as n',
            place.name, place.columns, place.expressions);
    end loop;
    set local session_replication_role = origin;
    return 'made';
end $$;

create function uuid_of(what text, n integer) returns uuid language sql immutable as $$
    select md5(what || n)::uuid
$$;

-- never: no ANALYZE has run. empty: one saw pages without a row in them. tiny: one saw three rows. huge: five million.
-- used: jobs and what became of them by the million, and the places that they pass through empty.
create function made_up(statistics text) returns text language plpgsql as $$
begin
    update pg_class
    set relpages = case when statistics = 'never' then 0 else greatest(pg_relation_size(oid) / 8192, 1) end,
        reltuples = case statistics
            when 'never' then -1
            when 'empty' then 0
            when 'tiny' then 3
            when 'huge' then 5000000
            else case when relname ~ '^gristmill_(job|attempt|result|edge|action)' then 5000000 else 0 end
        end
    where relname like 'gristmill\_%'
        and relkind in ('r', 'i');
    if statistics <> 'huge' then
        delete from pg_statistic
        where starelid in (select oid from pg_class where relname like 'gristmill\_%');
    end if;
    return 'made up';
end $$;

create function explained(statement text) returns text language plpgsql as $$
declare
    plan text;
begin
    execute 'explain (analyze, buffers, timing off, format json) ' || statement into plan;
    return plan;
end $$;

-- Under one name: what was prepared before goes, though a savepoint that is undone would keep it.
create function prepared(statement text) returns text language plpgsql as $$
begin
    if exists (select from pg_prepared_statements where name = 'looked_at') then
        deallocate looked_at;
    end if;
    execute statement;
    return 'prepared';
end $$;
