-- One row when the table of applied migrations exists where unqualified names lead.
select 1::bigint
where to_regclass('gristmill_schema') is not null
