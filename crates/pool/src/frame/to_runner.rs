//! What a runner is told.

use gristmill_core::Claimed;
use gristmill_store::hosted::Script;

use super::codec::{Key, TooLong, pack};

/// The `R` frame of a claim. Stored texts come first and are not read here: where one of them is not what it should
/// be, the keys that follow win, or the runner says that it cannot be read.
pub fn run(claimed: &Claimed, worker_id: &str) -> Result<Vec<u8>, TooLong> {
    let mut json = Vec::with_capacity(512 + claimed.args.len() + claimed.kwargs.len());
    json.extend_from_slice(b"{\"args\":");
    json.extend_from_slice(claimed.args.as_bytes());
    json.extend_from_slice(b",\"kwargs\":");
    json.extend_from_slice(claimed.kwargs.as_bytes());
    json.extend_from_slice(b",\"options\":");
    json.extend_from_slice(claimed.options_json.as_deref().unwrap_or("null").as_bytes());
    text_member(&mut json, "id", Some(&claimed.id.to_string()));
    text_member(&mut json, "task", Some(&claimed.lane.task_name));
    text_member(&mut json, "backend", Some(&claimed.lane.backend));
    text_member(&mut json, "queue_name", Some(&claimed.lane.queue_name));
    text_member(&mut json, "run_after", claimed.run_after.as_ref().map(|moment| moment.0.as_str()));
    text_member(&mut json, "deadline", Some(&claimed.deadline.0));
    text_member(&mut json, "enqueued_at", Some(&claimed.enqueued_at.0));
    text_member(&mut json, "claimed_at", Some(&claimed.claimed_at.0));
    text_member(&mut json, "started_at", claimed.started_at.as_ref().map(|moment| moment.0.as_str()));
    text_member(&mut json, "worker_id", Some(worker_id));
    json.extend_from_slice(
        format!(
            ",\"token\":{},\"priority\":{},\"attempt\":{},\"failures\":{}}}",
            claimed.token,
            claimed.priority,
            claimed.attempt_number(),
            claimed.counts.failures
        )
        .as_bytes(),
    );
    pack(b'R', &[&Key::of(claimed).bytes(), &json])
}

fn text_member(json: &mut Vec<u8>, name: &str, value: Option<&str>) {
    json.extend_from_slice(b",\"");
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
    // Writing text to a vector cannot fail.
    drop(serde_json::to_writer(json, &value));
}

/// The `W` frame: how a claim's attempt ends in the handler's own transaction.
pub fn write(key: Key, script: &Script) -> Result<Vec<u8>, TooLong> {
    // Numbers and text cannot fail to become JSON.
    let json = serde_json::to_vec(script).unwrap_or_default();
    pack(b'W', &[&key.bytes(), &json])
}
