-- The newest applied migration.
select version::bigint
from gristmill_schema
order by version desc
limit 1
