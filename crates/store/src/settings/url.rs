//! A database named by a URL, as programs without Django name it.

use super::{Host, Server, Settings};
use crate::{Error, Result};

impl Settings {
    /// From `postgres://user:password@host:port/name?sslmode=…` or `sqlite:///absolute/path`. A Unix socket's
    /// directory is given as `?host=/directory`.
    pub fn from_url(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| unusable("it has no scheme"))?;
        match scheme {
            "postgres" | "postgresql" => postgres(rest),
            "sqlite" => Ok(Self::sqlite(decoded(rest)?)),
            other => Err(unusable(&format!("its scheme is {other:?}; write postgres:// or sqlite://"))),
        }
    }
}

fn postgres(rest: &str) -> Result<Settings> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').ok_or_else(|| unusable("it names no database"))?;
    // A password may hold an @ that someone forgot to escape; a host cannot.
    let (credentials, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (login, secret) = credentials.split_once(':').unwrap_or((credentials, ""));
    let (machine, number) = match address.rsplit_once(':') {
        Some((machine, number)) if !number.ends_with(']') => (machine, number),
        _ => (address, ""),
    };

    let (mut host, mut server) = (given(machine)?, Server::default());
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match key {
            "host" => host = given(value)?,
            "sslmode" => server.sslmode = given(value)?,
            "sslrootcert" => server.sslrootcert = given(value)?,
            "sslcert" => server.sslcert = given(value)?,
            "sslkey" => server.sslkey = given(value)?,
            other => return Err(unusable(&format!("it has an unknown parameter {other:?}"))),
        }
    }
    let port = given(number)?.map(|port| port.parse().map_err(|_| unusable("its port is not a number"))).transpose()?;
    server.name = given(path)?.ok_or_else(|| unusable("it names no database"))?;
    server.user = given(login)?;
    server.hosts = vec![Host { host, port, password: given(secret)? }];
    Ok(Settings::Postgres(Box::new(server)))
}

fn given(text: &str) -> Result<Option<String>> {
    if text.is_empty() { Ok(None) } else { decoded(text).map(Some) }
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
            let digits = std::str::from_utf8(&digits).unwrap_or_default();
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| unusable("a % is not followed by two hex digits"))?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| unusable("it is not UTF-8"))
}

fn unusable(why: &str) -> Error {
    Error::Settings(format!("the database URL cannot be used: {why}"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::Synchronous;

    #[test]
    fn a_postgres_url_names_every_part() {
        let url = "postgres://mill:p%40ss@db.example:6432/jobs?sslmode=verify-full";
        let Ok(Settings::Postgres(server)) = Settings::from_url(url) else { panic!("refused") };
        assert_eq!(server.hosts[0].host.as_deref(), Some("db.example"));
        assert_eq!(server.hosts[0].port, Some(6432));
        assert_eq!(server.hosts[0].password.as_deref(), Some("p@ss"));
        assert_eq!(server.user.as_deref(), Some("mill"));
        assert_eq!(server.name, "jobs");
        assert_eq!(server.sslmode.as_deref(), Some("verify-full"));
    }

    #[test]
    fn what_a_url_leaves_out_stays_open() {
        let Ok(Settings::Postgres(server)) = Settings::from_url("postgres:///jobs") else { panic!("refused") };
        let [Host { host, port, password }] = &server.hosts[..] else { panic!("one host") };
        assert_eq!((host, port, &server.user, password), (&None, &None, &None, &None));
    }

    #[test]
    fn a_sqlite_url_holds_a_path() {
        let Ok(Settings::Sqlite { path, synchronous }) = Settings::from_url("sqlite:///var/lib/site/db.sqlite3") else {
            panic!("refused");
        };
        assert_eq!(path, PathBuf::from("/var/lib/site/db.sqlite3"));
        assert_eq!(synchronous, Synchronous::Normal);
    }

    #[test]
    fn other_urls_are_refused_with_a_reason() {
        for url in ["jobs", "mysql://host/jobs", "postgres://host", "postgres://host/jobs?colour=red"] {
            assert!(matches!(Settings::from_url(url), Err(Error::Settings(_))), "{url}");
        }
    }
}
