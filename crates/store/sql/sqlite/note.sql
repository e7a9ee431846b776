-- Adds lines to the output of attempts that have ended: what is called after an end may have something to say, too.
-- ?1 [{job, token, text}] in order of job and token, each attempt once
-- An attempt that is not there gets nothing: it was pruned, or its end was not accepted.
-- Index: primary key, one probe an attempt.
update gristmill_attempt
set output = coalesce(output, '')
    || iif(coalesce(output, '') = '' or substr(output, -1) = char(10), '', char(10))
    || (
        select json_extract(value, '$.text')
        from json_each(?1)
        where json_extract(value, '$.job') = gristmill_attempt.job_id
            and json_extract(value, '$.token') = gristmill_attempt.token
    )
where (job_id, token) in (select json_extract(value, '$.job'), json_extract(value, '$.token') from json_each(?1))
