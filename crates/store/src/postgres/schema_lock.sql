-- Keeps others from migrating until this transaction ends. The number is the word "mill" in ASCII.
select pg_advisory_xact_lock(1835625580)::text
