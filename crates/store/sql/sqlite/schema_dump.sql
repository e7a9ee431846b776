-- What SQLite has written down of Gristmill's tables, indexes, triggers and views.
select trim(sql) || ';' || char(10)
from sqlite_master
where tbl_name like 'gristmill~_%' escape '~'
    and sql is not null
order by tbl_name, case type when 'table' then 1 when 'index' then 2 when 'trigger' then 3 else 4 end, name
