-- Notes that somebody is told in this hour of failures of one cause: whoever adds the row tells.
-- ?1 fingerprint  ?2 hour  ?3 the job that is told of
-- Gives the fingerprint where the row is new, nothing where somebody tells already. Index: the primary key.
insert into gristmill_notice (fingerprint, hour, job_id)
values (?1, ?2, ?3)
on conflict do nothing
returning fingerprint
