-- What the server's catalogue says of Gristmill's tables, columns, constraints, indexes, triggers, views and functions: a line
-- each. Names are told without their schema, so that databases of different layout compare equal.
with relation as (
    select oid, relname as name, relkind as kind, reloptions as options
    from pg_class
    where relname like 'gristmill~_%' escape '~'
        and relkind in ('r', 'v')
        and pg_table_is_visible(oid)
),
line (relation, part, position, name, line) as (
    select
        name, 1, 0, '',
        case kind when 'r' then 'table ' else 'view ' end || name
            || coalesce(' with (' || array_to_string(options, ', ') || ')', '')
    from relation
    union all
    select
        relation.name, 2, attribute.attnum, '',
        '    ' || attribute.attname || ' ' || format_type(attribute.atttypid, attribute.atttypmod)
            || case when attribute.attnotnull then ' not null' else '' end
            || coalesce(' default ' || pg_get_expr(standard.adbin, standard.adrelid), '')
    from relation
    join pg_attribute as attribute on attribute.attrelid = relation.oid
    left join pg_attrdef as standard on standard.adrelid = relation.oid and standard.adnum = attribute.attnum
    where attribute.attnum > 0
        and not attribute.attisdropped
    union all
    -- Not-null constraints are the columns' own; newer servers list them here again.
    select relation.name, 3, 0, cons.conname, '    ' || cons.conname || ' ' || pg_get_constraintdef(cons.oid, true)
    from relation
    join pg_constraint as cons on cons.conrelid = relation.oid
    where cons.contype <> 'n'
    union all
    select relation.name, 4, 0, index.indexrelid::regclass::text, '    ' || pg_get_indexdef(index.indexrelid, 0, true)
    from relation
    join pg_index as index on index.indrelid = relation.oid
    union all
    select relation.name, 5, 0, trigger.tgname, '    ' || pg_get_triggerdef(trigger.oid, true)
    from relation
    join pg_trigger as trigger on trigger.tgrelid = relation.oid
    where not trigger.tgisinternal
    union all
    select relation.name, 6, 0, '', pg_get_viewdef(relation.oid, true)
    from relation
    where relation.kind = 'v'
    union all
    select proname, 7, 0, '', 'function ' || proname || prosrc
    from pg_proc
    where proname like 'gristmill~_%' escape '~'
        and pg_function_is_visible(oid)
)
select line
from line
order by relation collate "C", part, position, name collate "C"
