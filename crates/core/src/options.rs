//! What a job was asked to do beyond its arguments, as far as the engine decides by it.

use serde::{Deserialize, Serialize};

/// Per-task options as persisted on the job; unknown keys belong to someone else and are left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// The handler takes a `TaskContext` as its first argument.
    pub takes_context: bool,
}
