-- One row when the table of applied migrations exists.
select 1
from sqlite_master
where type = 'table'
    and name = 'gristmill_schema'
