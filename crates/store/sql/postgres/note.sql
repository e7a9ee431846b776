-- Adds lines to the output of attempts that have ended: what is called after an end may have something to say, too.
-- $1 [{job, token, text}] in order of job and token, each attempt once
-- An attempt that is not there gets nothing: it was pruned, or its end was not accepted.
-- Index: primary key, one probe an attempt.
update gristmill_attempt as attempt
set output = concat(attempt.output, case when right(attempt.output, 1) not in ('', e'\n') then e'\n' end, note.text)
from json_to_recordset($1::json) as note (job uuid, token bigint, text text)
where attempt.job_id = any (array(select job from json_to_recordset($1::json) as note (job uuid)))
    and attempt.job_id = note.job
    and attempt.token = note.token
