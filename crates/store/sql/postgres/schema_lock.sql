-- Keeps others from migrating until this transaction ends. The number is the word "mill" in ASCII.
-- Who migrates waits for others who do, and for users of the tables, as long as that takes within reason.
select set_config('lock_timeout', '5s', true), pg_advisory_xact_lock(1835625580)::text
