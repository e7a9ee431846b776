-- statements: 14
-- Forgets these jobs that have ended, with everything about them, however long ago they did: somebody has chosen them.
-- ?1 job ids, as a list
-- Never one that a job waits for which has not ended. One with very many preconditions loses some of its edges each time, and
-- goes with the last.
-- Gives (id, token, forgotten or thinned or refused: why), packed into one row; thinned: ask again. A job that is missing has
-- not ended.
-- Index: primary keys, one probe a job.
-- Chosen once, into a temporary table of this connection: all statements forget the same jobs.
create temp table if not exists gristmill_chosen (id text primary key, token integer not null, done text) without rowid;

delete from temp.gristmill_chosen;

insert into temp.gristmill_chosen (id, token, done)
select ended.id, ended.token, iif(
    exists (
        select 1
        from gristmill_edge as edge indexed by sqlite_autoindex_gristmill_edge_1
        cross join gristmill_job as dependent indexed by sqlite_autoindex_gristmill_job_1
        left join gristmill_result as over on over.id = edge.dependent_id
        where edge.precondition_id = ended.id
            and dependent.id = edge.dependent_id
            and over.id is null
    ),
    'refused: a job waits for it that has not ended',
    null
)
from (select distinct replace(lower(value), '-', '') as id from json_each(?1)) as asked
cross join gristmill_result as ended
where ended.id = asked.id;

delete from gristmill_edge indexed by sqlite_autoindex_gristmill_edge_1
where (precondition_id, dependent_id) in (
    select edge.precondition_id, edge.dependent_id
    from temp.gristmill_chosen as chosen
    cross join gristmill_edge as edge indexed by gristmill_edge_dependent
    where edge.dependent_id = chosen.id
        and chosen.done is null
    limit 20000
);

update temp.gristmill_chosen
set done = iif(
    exists (select 1 from gristmill_edge as edge indexed by gristmill_edge_dependent where edge.dependent_id = gristmill_chosen.id),
    'thinned',
    'forgotten'
)
where done is null;

delete from gristmill_gate
where job_id in (select id from temp.gristmill_chosen where done = 'forgotten');

delete from gristmill_attempt
where job_id in (select id from temp.gristmill_chosen where done = 'forgotten');

delete from gristmill_progress
where job_id in (select id from temp.gristmill_chosen where done = 'forgotten');

delete from gristmill_cancel_request
where job_id in (select id from temp.gristmill_chosen where done = 'forgotten');

delete from gristmill_action
where job_id in (select id from temp.gristmill_chosen where done = 'forgotten');

delete from gristmill_unique_key indexed by gristmill_unique_key_job
where job_id in (select id from temp.gristmill_chosen where done = 'forgotten');

delete from gristmill_job indexed by sqlite_autoindex_gristmill_job_1
where id in (select id from temp.gristmill_chosen where done = 'forgotten');

delete from gristmill_result
where id in (select id from temp.gristmill_chosen where done = 'forgotten');

select id, token, done
from temp.gristmill_chosen;
