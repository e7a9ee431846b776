-- Says of ticks whose jobs were not made that another job had their unique key.
-- $1 ids of these jobs, as a list
-- Gives nothing.
-- Index: gristmill_tick_job, one probe a tick.
update gristmill_tick as tick
set job_id = null,
    skipped = 'unique'
where tick.job_id = any (array(select json_array_elements_text($1::json)::uuid))
