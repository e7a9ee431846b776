-- The newest applied migration.
select version
from gristmill_schema
order by version desc
limit 1
