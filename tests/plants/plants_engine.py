"""The bugs that are planted into the engine and its SQL."""

from __future__ import annotations

from plant import Plant

SQLITE = "crates/store/sql/sqlite"
POSTGRES = "crates/store/sql/postgres"

IN_ENGINE = [
    Plant(
        "a job is tried once more than it may",
        "crates/core/src/state.rs",
        "options.max_attempts.is_some_and(|most| failures >= most)",
        "options.max_attempts.is_some_and(|most| failures > most)",
        "rust core",
    ),
    Plant(
        "a job that must not run twice runs again after a crash",
        "crates/core/src/state.rs",
        "OnCrash::Fail => finished(State::Failed, Some(Reason::Crashed)),",
        "OnCrash::Fail => Next::Ready,",
        "rust core",
    ),
    Plant(
        "a job that kills whatever runs it is given to the next runner for ever",
        "crates/core/src/state.rs",
        "OnCrash::Rerun if counts.crashes >= CRASHES_IN_A_ROW => {",
        "OnCrash::Rerun if counts.crashes == u32::MAX => {",
        "rust core",
    ),
    Plant(
        "a job that waits for three of two never starts",
        f"{SQLITE}/sync.sql",
        ">= min(coalesce(gate.needed, gate.open + gate.successful + gate.failed), "
        "gate.open + gate.successful + gate.failed)",
        ">= coalesce(gate.needed, gate.open + gate.successful + gate.failed)",
        "rust store sqlite",
    ),
    Plant(
        "a job that is run now comes after all that is enqueued within weeks",
        f"{SQLITE}/run_now.sql",
        "strftime('%Y-%m-%d %H:%M:%f', coalesce(?3, 'now'), '+7 days') || '000'",
        "deadline",
        "rust store sqlite",
    ),
    Plant(
        "jobs are put into a queue that nobody serves for their backend",
        f"{SQLITE}/change.sql",
        "backend not in (select value from json_each(?5))",
        "backend is null",
        "rust store sqlite",
    ),
    Plant(
        "a worker that was given up ends the attempt that another has begun since",
        f"{SQLITE}/finish.sql",
        "\n    and running.token = json_extract(ended.value, '$.token')",
        "",
        "rust store sqlite",
    ),
    Plant(
        "a key that is to last until a job is forgotten is free when it has ended",
        f"{SQLITE}/parts/ends.sql",
        "held.until <> 'pruned' and ",
        "",
        "rust store sqlite",
    ),
    Plant(
        "a job is forgotten while another waits for it",
        f"{SQLITE}/prune.sql",
        "        and ended.id is null\n",
        "        and false\n",
        "rust store sqlite",
    ),
    Plant(
        "a worker that was declared lost comes back to life",
        f"{SQLITE}/heartbeat.sql",
        "    and lost_at is null\n",
        "",
        "rust store sqlite",
    ),
    Plant(
        "a schedule's high-water mark goes back with the clock",
        f"{SQLITE}/mark_schedules.sql",
        "            max(gristmill_schedule.high_water, json_extract(value, '$.high_water')),\n"
        "            gristmill_schedule.high_water,\n"
        "            json_extract(value, '$.high_water')\n",
        "            json_extract(value, '$.high_water'), gristmill_schedule.high_water\n",
        "rust store sqlite",
    ),
    Plant(
        "someone's cancel request is overlooked when the attempt fails",
        f"{POSTGRES}/finish.sql",
        "        where job_id = accepted.id\n",
        "        where job_id = accepted.id and false\n",
        "rust store postgres",
    ),
    Plant(
        "workers that claim wait for each other",
        f"{POSTGRES}/claim.sql",
        "        limit $4::bigint\n        for update skip locked\n",
        "        limit $4::bigint\n        for update\n",
        "rust store postgres",
    ),
    Plant(
        "a worker that is just being declared lost is given a job all the same",
        f"{POSTGRES}/claim.sql",
        "    for share\n",
        "",
        "rust store postgres",
    ),
    Plant(
        "a worker is given a job as it was before someone replaced it",
        f"{POSTGRES}/claim.sql",
        "where ready.ctid = any (array(select version from picked where",
        "where ready.id = any (array(select id from picked where",
        "rust store postgres",
    ),
    Plant(
        "a job's end waits for the transaction of who takes over its expired key",
        f"{POSTGRES}/parts/ends.sql",
        "        and (held.expires_at is null or held.expires_at > (select now from clock))\n",
        "",
        "rust store postgres",
    ),
    Plant(
        "a worker that has answered a suspicion is declared lost",
        f"{POSTGRES}/declare_lost.sql",
        "    and worker.heartbeat_at < worker.suspect_at\n",
        "",
        "rust store postgres",
    ),
    Plant(
        "a claim reads every paused queue, and not those that it asks for, where statistics say that there are none",
        f"{POSTGRES}/claim.sql",
        "            and paused.queue_name = claim_cursor.queue_name\n        offset 0\n",
        "            and paused.queue_name = claim_cursor.queue_name\n",
        "rust store plans",
    ),
    Plant(
        "the end of a job reads every key that is held, where statistics say that there are a few",
        f"{SQLITE}/parts/ends.sql",
        "    cross join gristmill_unique_key as held indexed by gristmill_unique_key_job\n",
        "    join gristmill_unique_key as held\n",
        "rust store plans",
    ),
    Plant(
        "a retry takes the token back, so that an attempt from before it may end the job",
        f"{SQLITE}/retry.sql",
        "select {result.carried}, result.token, result.generation + 1\n"
        "from gristmill_result as result\n"
        "cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1\n"
        "where result.id in (select replace(lower(value), '-', '') from json_each(?1))\n"
        "    and job.id = result.id\n"
        "    and not exists",
        "select {result.carried}, 0, result.generation + 1\n"
        "from gristmill_result as result\n"
        "cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1\n"
        "where result.id in (select replace(lower(value), '-', '') from json_each(?1))\n"
        "    and job.id = result.id\n"
        "    and not exists",
        "rust store model",
    ),
    Plant(
        "a precondition that has ended stays open in the counts of the gate behind it",
        f"{POSTGRES}/sync.sql",
        "            - count(*) filter (where old_epoch = current and old_state = 'open') as open,\n",
        "            - 0 as open,\n",
        "rust store goals",
    ),
    Plant(
        "a worker that dies in the middle of a round leaves a tick without its job, and its job is never made",
        "crates/store/src/verbs/schedules/tick.rs",
        "        self.begin().await?;\n        let mut round = Round::default();\n",
        "        let mut round = Round::default();\n",
        "rust store ticks",
    ),
    Plant(
        "a tick that was written down is made again",
        f"{POSTGRES}/record_ticks.sql",
        "on conflict do nothing\n",
        "on conflict (backend, schedule, nominal) do update set found_at = excluded.found_at\n",
        "rust store postgres",
    ),
    Plant(
        "a job that is made ready behind the watermark of a claim cursor is not found",
        "crates/engine/src/dispatcher/cursors.rs",
        "Some(known) => *known = cursor,",
        "Some(_) => {}",
        "rust engine unit",
    ),
    Plant(
        "a claim whose answer was lost keeps its jobs for ever",
        "crates/engine/src/dispatcher/answers.rs",
        "self.in_flight.contains(*key) || self.completing.contains(*key)",
        "self.in_flight.contains(*key) || self.completing.contains(*key) || !self.fence.is_down()",
        "rust engine unit",
    ),
    Plant(
        "what runs past the lease goes on while another worker has its job",
        "crates/engine/src/dispatcher/fence.rs",
        "let cut_off = !holds && !was_down;",
        "let cut_off = false;",
        "rust engine sqlite",
    ),
    Plant(
        "a job that is too old to start is started",
        "crates/engine/src/dispatcher/answers.rs",
        "job.is_expired().then_some(Outcome::Expired)",
        "(job.is_expired() && job.counts.crashes > 0).then_some(Outcome::Expired)",
        "rust engine sqlite",
    ),
    Plant(
        "a worker counts its lease from when the answer came, later than the others do",
        "crates/engine/src/heartbeat.rs",
        "                    self.acknowledged(sent);\n                    next = sent.at + interval;\n",
        "                    self.acknowledged(Sent::now());\n                    next = sent.at + interval;\n",
        "rust engine sqlite",
    ),
    Plant(
        "a job that blocks the database file loses its worker its life",
        "crates/engine/src/heartbeat.rs",
        "            self.acknowledged(Sent::now());\n",
        "",
        "rust engine sqlite",
    ),
    Plant(
        "a job that must not run twice is sent ahead, behind one that may crash",
        "crates/pool/src/runner/assigned.rs",
        "alone: claimed.counts.crashes > 0 || options.on_crash == OnCrash::Fail,",
        "alone: claimed.counts.crashes > 0,",
        "rust pool",
    ),
    Plant(
        "two jobs that block run at once in one runner, by what it says",
        "crates/pool/src/runner/hear.rs",
        "            Some(0) if self.started.is_empty() && self.lingering.is_empty() => self.pipe.pop_front(),\n",
        "            Some(0) => self.pipe.pop_front(),\n",
        "rust pool",
    ),
    Plant(
        "a job that an enqueue keeps may start before its caller's data is there",
        f"{POSTGRES}/migrations/0001_routines.sql",
        "    from gristmill_ready as here where here.id = job_id for update;\n",
        "    from gristmill_ready as here where here.id = job_id;\n",
        "python postgres",
    ),
    Plant(
        "pruning waits with locks in hand for a web request that takes an expired key over",
        f"{POSTGRES}/prune.sql",
        "where key = held_key.key\n        for update skip locked",
        "where key = held_key.key\n        for update",
        "rust store postgres",
    ),
    Plant(
        "a worker claims nothing while somebody holds the key of the first job in line",
        f"{POSTGRES}/claim.sql",
        "where $6::boolean",
        "where false and $6::boolean",
        "rust store postgres",
    ),
    Plant(
        "no join is told of an end while somebody holds up the first one",
        "crates/store/src/verbs/propagation.rs",
        "self.carry_out(&PUT_OFF, &[self.now(), json(&kinds)]).await?;",
        "let _ = &PUT_OFF;",
        "rust store postgres",
    ),
    Plant(
        "a chore that somebody's lock keeps back keeps all chores after it back",
        "crates/engine/src/maintenance.rs",
        "Ok(Stepped::PutOff)",
        "Ok(Stepped::Away)",
        "rust engine unit",
    ),
    Plant(
        "a drain ends while another worker runs what jobs wait for",
        "crates/engine/src/dispatcher/answers.rs",
        "(found.under_way && !self.propagations.are_refused()) || self.looking.owed",
        "self.looking.owed",
        "rust engine sqlite",
    ),
    Plant(
        "a worker goes on writing to a file that nobody reads any more",
        "crates/store/src/sqlite/connection.rs",
        "Some(file) if file == self.file => Ok(()),",
        "Some(file) if file == self.file || file.1 > 0 => Ok(()),",
        "rust store sqlite",
    ),
    Plant(
        "a job is deleted though another waits for it",
        f"{SQLITE}/forget.sql",
        "    'refused: a job waits for it that has not ended',\n",
        "    null,\n",
        "rust store sqlite",
    ),
    Plant(
        "a unique job whose row somebody has deleted can never be enqueued again",
        f"{SQLITE}/migrations/0001_routines.sql",
        "            or not exists (select 1 from gristmill_job where id = gristmill_unique_key.job_id)\n",
        "",
        "python",
    ),
    Plant(
        "a worker that is to be quiet goes on claiming",
        "crates/engine/src/dispatcher/orders.rs",
        "self.may_begin() && !self.fence.is_quiet()",
        "self.may_begin()",
        "rust engine sqlite",
    ),
    Plant(
        "counts whose append was not answered are there twice",
        f"{SQLITE}/append_pulse.sql",
        "on conflict (id) do nothing",
        "on conflict (id) do update set attempts = gristmill_pulse.attempts + excluded.attempts",
        "rust store sqlite",
    ),
    Plant(
        "a job that was handed back unstarted is counted as an attempt",
        "crates/core/src/pulse.rs",
        "Outcome::HandedBack => None,",
        'Outcome::HandedBack => Some("interrupted"),',
        "rust core",
    ),
]
