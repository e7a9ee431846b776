-- The columns of a place row that every move carries along as they are, in every dialect.
id, backend, queue_name, task_name, priority, deadline, awaited
