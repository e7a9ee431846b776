-- The newest applied migration.
-- Reads all of gristmill_schema: one row for each migration.
select version
from gristmill_schema
order by version desc
limit 1
