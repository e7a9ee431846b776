//! What a job has been through, and the form in which its place row carries that.

use serde::{Deserialize, Serialize};

/// What a job has been through since it was enqueued or last retried by hand. As persisted: a JSON object in which what
/// is zero is left out; nothing for a job that has been through nothing, as nearly every job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Attempts that ended with an error, a timeout, a memory limit or a bad result.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// Attempts in a row that killed their runner.
    #[serde(skip_serializing_if = "is_zero")]
    pub crashes: u32,
    /// Attempts lost together with their worker, since one last came to an end of its own.
    #[serde(skip_serializing_if = "is_zero")]
    pub losses: u32,
    /// Times the handler postponed itself.
    #[serde(skip_serializing_if = "is_zero")]
    pub postpones: u32,
    /// Attempts cut short by a worker that had to stop, or undone by the database, since then.
    #[serde(skip_serializing_if = "is_zero")]
    pub interruptions: u32,
}

impl Counts {
    /// Reads what a place row carries, or says why it cannot: how often the job may still run is not known then.
    pub fn read(stored: Option<&str>) -> Result<Self, String> {
        let Some(text) = stored.filter(|text| !text.is_empty()) else { return Ok(Self::default()) };
        match serde_json::from_str(text) {
            // A list would do for an object too.
            Ok(counts) if text.trim_start().starts_with('{') => Ok(counts),
            Ok(_) => Err("its counts are a list".into()),
            Err(why) => Err(format!("its counts are no JSON object of whole numbers: {why}")),
        }
    }

    /// As a place row carries them; empty where there is nothing to carry.
    pub fn stored(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        serde_json::to_string(self).unwrap_or_default()
    }
}

// serde hands a reference.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_zero_is_not_stored() {
        let counts = Counts { failures: 2, losses: 1, ..Counts::default() };

        assert_eq!(counts.stored(), r#"{"failures":2,"losses":1}"#);
        assert_eq!(Counts::read(Some(&counts.stored())), Ok(counts));
        assert_eq!(Counts::default().stored(), "");
        assert_eq!((Counts::read(None), Counts::read(Some(""))), (Ok(Counts::default()), Ok(Counts::default())));
    }

    #[test]
    fn what_cannot_be_read_is_no_default() {
        for stored in ["[1]", "1", "{", r#"{"failures":-1}"#, r#"{"failures":"1"}"#, "null"] {
            assert!(Counts::read(Some(stored)).is_err(), "{stored}");
        }
    }
}
