//! What the conformance suite (`crates/testkit`) takes besides the verbs: it stands still in the middle of one, or does part
//! of it as another process would. Nothing else uses this.

pub use crate::life::Lives;
pub use crate::migrate::check;
pub use crate::statement::Sql;
pub use crate::verbs::finish::Ends;
pub use crate::verbs::json;
pub use crate::verbs::operate::{ADD_PRECONDITIONS, CANCEL};
pub use crate::verbs::promote::PROMOTE;
pub use crate::verbs::prune::PRUNE;
pub use crate::verbs::schedules::settle::MARK_SCHEDULES;
pub use crate::verbs::schedules::tick::Round;
