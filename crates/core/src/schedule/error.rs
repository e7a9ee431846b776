//! What is wrong with a schedule, in words that its author can act on. All of it is found when it is registered.

use std::time::Duration;

use super::Unit;

/// Why there is no such schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// One field of the expression.
    #[error("{unit}: {problem}, in '{expression}'")]
    Field {
        /// Which one.
        unit: Unit,
        /// What is wrong and what would be right.
        problem: String,
        /// As written.
        expression: String,
    },
    /// The expression as a whole.
    #[error("{problem}, in '{expression}'")]
    Expression {
        /// What is wrong and what would be right.
        problem: String,
        /// As written, its beginning if it is long.
        expression: String,
    },
    /// Every field is right, and no day has them all.
    #[error("it would never run: no month named has a day named; check day of month and month, in '{expression}'")]
    NeverRuns {
        /// As written.
        expression: String,
    },
    /// A name that no time zone has.
    #[error("'{name}' is no time zone of the IANA database ({data}); they are written like Europe/Berlin")]
    UnknownZone {
        /// As written.
        name: String,
        /// Which copies of the database were asked.
        data: String,
    },
    /// Neither an expression nor an interval, or both of them.
    #[error("a schedule has one rule: cron or every, one of the two")]
    Rule,
    /// An interval out of bounds.
    #[error("every {}: an interval is at least 1 second and at most 366 days", super::describe::period(*.0))]
    Period(Duration),
}
