//! Finds out which bands have ready jobs.

use gristmill_core::Band;

use crate::{Result, Session};

impl Session {
    /// Every band that has a ready job, marked at its first one. Costs one index probe a band, however many
    /// jobs are in it.
    pub async fn survey(&mut self) -> Result<Vec<Band>> {
        unimplemented!()
    }
}
