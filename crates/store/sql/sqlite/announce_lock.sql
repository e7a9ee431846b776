-- Nothing to wait for: SQLite has one writer at a time, and the transaction that announces is one.
-- ?1 now
-- Gives nothing of use, and the time.
select null, ?1
