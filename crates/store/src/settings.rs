//! Which database, and how to reach it: as Django's settings name it, or a URL from the environment.

use serde::Deserialize;

/// Where the queue's tables are. Arrives as JSON over an inherited descriptor; never through argv.
#[derive(Clone, Deserialize)]
#[serde(tag = "engine", rename_all = "lowercase")]
pub enum Settings {
    /// A PostgreSQL server; an empty field means the driver's default.
    Postgres {
        /// Host name, address, or the directory of a Unix socket.
        #[serde(default)]
        host: Option<String>,
        /// TCP port.
        #[serde(default)]
        port: Option<u16>,
        /// Role name.
        #[serde(default)]
        user: Option<String>,
        /// Its password.
        #[serde(default)]
        password: Option<String>,
        /// Database name.
        name: String,
        /// libpq's `sslmode`.
        #[serde(default)]
        sslmode: Option<String>,
        /// libpq's `sslrootcert`.
        #[serde(default)]
        sslrootcert: Option<String>,
    },
    /// A SQLite file.
    Sqlite {
        /// Absolute path.
        path: std::path::PathBuf,
    },
}
