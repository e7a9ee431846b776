//! What a runner is told.

use gristmill_core::{Claimed, State, retried_classes, retries_conflict};
use gristmill_store::hosted::Script;
use serde::Serialize;

use super::codec::{Key, TooLong, pack};
use super::kinds::ToRunner;

/// The `R` frame of a claim. Stored texts come first and are not read here: where one of them is not what it should
/// be, the keys that follow win, or the runner says that it cannot be read.
pub fn run(claimed: &Claimed, worker_id: &str) -> Result<Vec<u8>, TooLong> {
    let mut json = Vec::with_capacity(512 + claimed.args.len() + claimed.kwargs.len());
    json.extend_from_slice(b"{\"args\":");
    json.extend_from_slice(claimed.args.as_bytes());
    json.extend_from_slice(b",\"kwargs\":");
    json.extend_from_slice(claimed.kwargs.as_bytes());
    json.extend_from_slice(b",\"options\":");
    json.extend_from_slice(claimed.stored_options.json().unwrap_or("null").as_bytes());
    member(&mut json, "id", &claimed.id);
    member(&mut json, "task", &claimed.lane.task_name);
    member(&mut json, "backend", &claimed.lane.backend);
    member(&mut json, "queue_name", &claimed.lane.queue_name);
    member(&mut json, "run_after", &claimed.run_after);
    member(&mut json, "deadline", &claimed.deadline);
    member(&mut json, "enqueued_at", &claimed.enqueued_at);
    member(&mut json, "claimed_at", &claimed.claimed_at);
    member(&mut json, "started_at", &claimed.started_at);
    member(&mut json, "worker_id", &worker_id);
    member(&mut json, "retried_classes", &retried_classes(claimed, claimed.options()));
    member(&mut json, "retries_conflict", &retries_conflict(claimed, claimed.options()));
    member(&mut json, "token", &claimed.token);
    member(&mut json, "priority", &claimed.priority);
    member(&mut json, "attempt", &claimed.attempt_number());
    json.push(b'}');
    pack(ToRunner::Run, &[&Key::of(claimed).bytes(), &json])
}

fn member(json: &mut Vec<u8>, name: &str, value: &impl Serialize) {
    json.extend_from_slice(b",\"");
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
    // Writing plain values to a vector cannot fail.
    drop(serde_json::to_writer(json, value));
}

/// The `W` frame: how a claim's attempt ends in the handler's own transaction.
pub fn write(key: Key, script: &Script) -> Result<Vec<u8>, TooLong> {
    // Numbers and text cannot fail to become JSON.
    let json = serde_json::to_vec(script).unwrap_or_default();
    pack(ToRunner::Write, &[&key.bytes(), &json])
}

/// The `V` frame: the state in which a claim's job has ended, and nothing where it goes on or was superseded.
pub fn settled(key: Key, state: Option<State>) -> Result<Vec<u8>, TooLong> {
    pack(ToRunner::Settled, &[&key.bytes(), state.map_or("", State::word).as_bytes()])
}
