-- Ends the pause of a queue.
-- $1 backend
-- $2 queue name
-- Gives the queue's name; nothing when it was not paused.
delete from gristmill_queue
where backend = $1
    and queue_name = $2
returning queue_name
