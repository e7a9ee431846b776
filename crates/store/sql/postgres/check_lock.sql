-- Waits until nobody else looks for a cycle: of two edges that close one together, the later look sees both.
-- Gives nothing of use. Held until the transaction ends, which is soon.
select pg_advisory_xact_lock(7166481, 1)::text
