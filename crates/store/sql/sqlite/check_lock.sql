-- Nothing to wait for: SQLite has one writer at a time, and the transaction that looks for a cycle is one.
select null
