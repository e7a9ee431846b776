//! A PostgreSQL server as libpq would reach it: whoever makes this has read the environment, service and pass files.

use serde::Deserialize;

/// How to connect. What is left out is the driver's default.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Server {
    /// Tried in this order; the first that can be written to serves.
    pub hosts: Vec<Host>,
    /// Role that logs in.
    pub user: Option<String>,
    /// Database name.
    pub name: String,
    /// How much TLS: one of libpq's six words.
    pub sslmode: Option<String>,
    /// File of the roots that count; without one the system's do.
    pub sslrootcert: Option<String>,
    /// File of the client's certificate.
    pub sslcert: Option<String>,
    /// File of its key, not encrypted.
    pub sslkey: Option<String>,
    /// Settings of the session, from libpq's `options`.
    pub parameters: Vec<(String, String)>,
    /// Role that the session then takes on: Django's `assume_role`.
    pub role: Option<String>,
    /// What the server calls the session.
    pub application_name: Option<String>,
    /// Seconds for each host.
    pub connect_timeout: Option<u64>,
    /// Where Django's session is.
    pub whereabouts: Option<Whereabouts>,
}

/// Where the server may be.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Host name, address, or the directory of a Unix socket.
    pub host: Option<String>,
    /// Port; of a socket it is part of the file's name.
    pub port: Option<u16>,
    /// The role's password there.
    pub password: Option<String>,
}

impl Host {
    /// Whether it is on this machine, where nothing is encrypted.
    pub fn is_socket(&self) -> bool {
        self.host.as_deref().is_some_and(|host| host.starts_with('/'))
    }
}

/// Which tables a session reads, and as whom: what two sessions have to agree on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Whereabouts {
    /// Name of the database.
    pub database: String,
    /// Schema of the queue's tables.
    pub schema: String,
    /// Number of the table of jobs, which no other database of the same name has, nor another schema's.
    pub table: String,
    /// Role that reads and writes.
    pub role: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

impl Whereabouts {
    /// In words, what differs from `other`; none where they agree.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let encrypted = |encrypted| if encrypted { "encrypted" } else { "not encrypted" };
        [
            ("database", self.database.as_str(), other.database.as_str()),
            ("schema", &self.schema, &other.schema),
            ("role", &self.role, &other.role),
            ("session", encrypted(self.encrypted), encrypted(other.encrypted)),
            ("table of jobs", &self.table, &other.table),
        ]
        .into_iter()
        .find(|(_, mine, theirs)| mine != theirs)
        .map(|(what, mine, theirs)| format!("{what}: {mine} there, {theirs} here"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_and_nothing_else() {
        let django = Whereabouts {
            database: "shop".into(),
            schema: "app".into(),
            table: "16401".into(),
            role: "shop".into(),
            encrypted: true,
        };
        assert_eq!(django.difference(&django), None);
        let neighbour = Whereabouts { schema: "public".into(), table: "16999".into(), ..django.clone() };
        assert_eq!(django.difference(&neighbour).as_deref(), Some("schema: app there, public here"));
        let plain = Whereabouts { encrypted: false, ..django.clone() };
        assert_eq!(django.difference(&plain).as_deref(), Some("session: encrypted there, not encrypted here"));
    }
}
