//! Why a pool cannot start.

use std::io;

/// Why a pool could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The interpreter could not be run at all.
    #[error("cannot run {python}: {source}")]
    Python {
        /// The executable that was tried.
        python: String,
        /// What the system said.
        source: io::Error,
    },
    /// The project could not be imported; one sentence for people, and Python's traceback (it may be empty).
    #[error("{message}")]
    Import {
        /// Which import failed, why and where.
        message: String,
        /// As Python formats it.
        traceback: String,
    },
    /// The zygote ended before it could say anything; its standard error has more.
    #[error("the Python process ended before it had imported the project ({how}); its output says more")]
    Ended {
        /// "exit status 1", "signal 9 (SIGKILL)".
        how: String,
    },
    /// The system refused a socket or a process.
    #[error("cannot talk to the Python process: {0}")]
    Io(#[from] io::Error),
}
