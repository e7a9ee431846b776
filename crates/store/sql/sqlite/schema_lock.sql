-- Nothing to lock: a transaction begun as immediate is the only one that writes.
select 1
