//! Reaches a server as libpq would: its hosts in turn, each with or without TLS as `sslmode` says.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection as _};

use super::connection::error;
use crate::{Error, Host, Result, Server};

/// Seconds for a host that is one of several, unless `connect_timeout` says otherwise: the others have to be asked
/// before whoever wants a session gives up.
const ONE_OF_SEVERAL: Duration = Duration::from_secs(3);

/// What every engine session asks of the server when it connects.
///
/// What a statement reads follows from its shape, as `postgres/mod.rs` tells; these leave no choice of how. The tables
/// that rows move through are small and often empty when a statement is first planned; left alone, the planner then
/// reads them whole and keeps to that while dead rows pile up under someone's long transaction. One generic plan a
/// statement makes the choice once and for all, and the cost that a switched-off scan is given must not call the
/// just-in-time compiler.
const PARAMETERS: [(&str, &str); 14] = [
    // Each statement sees what was committed before it, also what it has just waited for; locks rely on that.
    ("default_transaction_isolation", "read committed"),
    ("timezone", "UTC"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_bitmapscan", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
    // Nobody waits for somebody's transaction: what is locked is put off by itself, and the rest goes on. Our own hold
    // locks for some milliseconds.
    ("lock_timeout", LOCK_TIMEOUT),
    // A worker that stops between begin and commit holds row locks that others skip, so not for long.
    ("idle_in_transaction_session_timeout", "15s"),
    // The server notices within 25 s that a worker's host is gone, and frees what it held.
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "25s"),
];

/// Short enough that a handful in a row is no second.
const LOCK_TIMEOUT: &str = "200ms";

/// A session, and how it was reached.
pub(crate) struct Reached {
    pub(crate) connection: PgConnection,
    pub(crate) options: PgConnectOptions,
}

/// Logs in at the first host that can be written to.
pub(crate) async fn reach(server: &Server) -> Result<Reached> {
    let mut failures = Vec::new();
    for host in &server.hosts {
        match reach_host(server, host).await {
            Ok(reached) => return Ok(reached),
            Err(Failure { why, is_final: true }) => return Err(why),
            Err(Failure { why, .. }) => failures.push(match (&host.host, server.hosts.len()) {
                (Some(name), 2..) => format!("{name}: {why}"),
                _ => return Err(why),
            }),
        }
    }
    Err(Error::Unavailable(failures.join("; ")))
}

/// Checks the settings; asks nobody.
pub(crate) fn check(server: &Server) -> Result<()> {
    if server.hosts.is_empty() {
        return Err(Error::Settings("these settings name no host".into()));
    }
    server.hosts.iter().try_for_each(|host| ways(server, host).map(drop))
}

/// Why a host gave no session.
struct Failure {
    why: Error,
    /// Another host would say the same.
    is_final: bool,
}

impl From<Error> for Failure {
    fn from(why: Error) -> Self {
        Self { why, is_final: false }
    }
}

async fn reach_host(server: &Server, host: &Host) -> Result<Reached, Failure> {
    let mut refused = None;
    for options in ways(server, host)? {
        // The driver's future is large, and would be part of everybody's who opens a session.
        match within(server, Box::pin(options.connect())).await? {
            Ok(connection) => return Ok(settle(server, Reached { connection, options }).await?),
            Err(why) if is_refusal(&why) => drop(refused.get_or_insert(why)),
            Err(why) => return Err(error(why).into()),
        }
    }
    let why = refused.map_or_else(|| Error::Settings("there is no way to this host".into()), error);
    Err(Failure { why, is_final: true })
}

/// Whether a server that is up said no: with TLS or without it might say yes, and no other host of its kind would. One
/// that starts or stops says nothing.
fn is_refusal(failure: &sqlx::Error) -> bool {
    match failure {
        sqlx::Error::Database(said) => said.code().is_none_or(|code| code != "57P03"),
        sqlx::Error::Tls(_) => true,
        // What rustls makes of a certificate that it does not accept, or of an alert of the server's.
        sqlx::Error::Io(why) => why.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

async fn within<T>(server: &Server, call: impl Future<Output = T>) -> Result<T> {
    let several = (server.hosts.len() > 1).then_some(ONE_OF_SEVERAL);
    let given = server.connect_timeout.filter(|&seconds| seconds > 0).map(Duration::from_secs);
    let Some(limit) = given.or(several) else { return Ok(call.await) };
    let answer = tokio::time::timeout(limit, call).await;
    answer.map_err(|_| Error::Unavailable(format!("no answer within {} s", limit.as_secs())))
}

/// Makes sure that it can be written to, and takes on the role.
async fn settle(server: &Server, mut reached: Reached) -> Result<Reached> {
    let connection = &mut reached.connection;
    let standby: bool =
        sqlx::query_scalar("select pg_is_in_recovery()").fetch_one(&mut *connection).await.map_err(error)?;
    if standby {
        let _ = reached.connection.close().await;
        // Passing: in a failover the name that leads here will soon lead to the new primary.
        return Err(Error::Unavailable(
            "the server is a standby: it cannot be written to; connect to the primary".into(),
        ));
    }
    if let Some(role) = &server.role {
        sqlx::query("select set_config('role', $1, false)")
            .bind(role)
            .execute(&mut *connection)
            .await
            .map_err(error)?;
    }
    Ok(reached)
}

/// How to connect to one host: each way that `sslmode` allows, in its order.
fn ways(server: &Server, host: &Host) -> Result<Vec<PgConnectOptions>> {
    let modes = modes(server, host)?;
    Ok(modes.iter().map(|&mode| options(server, host).ssl_mode(mode)).collect())
}

fn modes(server: &Server, host: &Host) -> Result<&'static [PgSslMode]> {
    if host.is_socket() {
        return Ok(&[PgSslMode::Disable]);
    }
    let mode = server.sslmode.as_deref().unwrap_or("prefer");
    // As in libpq, a root to check against makes every mode check.
    Ok(match (mode, server.sslrootcert.is_some()) {
        ("disable", _) => &[PgSslMode::Disable],
        ("allow", false) => &[PgSslMode::Disable, PgSslMode::Require],
        ("allow", true) => &[PgSslMode::Disable, PgSslMode::VerifyCa],
        ("prefer", false) => &[PgSslMode::Prefer, PgSslMode::Disable],
        ("prefer", true) => &[PgSslMode::VerifyCa, PgSslMode::Disable],
        ("require", false) => &[PgSslMode::Require],
        ("require", true) | ("verify-ca", _) => &[PgSslMode::VerifyCa],
        ("verify-full", _) => &[PgSslMode::VerifyFull],
        (unknown, _) => return Err(Error::Settings(format!("unknown sslmode {unknown:?}"))),
    })
}

fn options(server: &Server, host: &Host) -> PgConnectOptions {
    let mut options = PgConnectOptions::new_without_pgpass()
        .database(&server.name)
        .application_name(server.application_name.as_deref().unwrap_or("gristmill"))
        // The last of two that name the same setting counts.
        .options(server.parameters.iter().map(|(name, value)| (name, value)))
        .options(PARAMETERS);
    if let Some(name) = host.host.as_deref().filter(|name| !name.is_empty()) {
        options = if host.is_socket() { options.socket(name) } else { options.host(name) };
    }
    if let Some(port) = host.port {
        options = options.port(port);
    }
    if let Some(user) = server.user.as_deref().filter(|user| !user.is_empty()) {
        options = options.username(user);
    }
    if let Some(password) = &host.password {
        options = options.password(password);
    }
    if let Some(certificate) = &server.sslrootcert {
        options = options.ssl_root_cert(certificate);
    }
    if let (Some(certificate), Some(key)) = (&server.sslcert, &server.sslkey) {
        options = options.ssl_client_cert(certificate).ssl_client_key(key);
    }
    options.disable_statement_logging()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(sslmode: &str, host: &str, root: Option<&str>) -> Vec<String> {
        let server = Server { sslmode: Some(sslmode.into()), sslrootcert: root.map(Into::into), ..Server::default() };
        let host = Host { host: Some(host.into()), ..Host::default() };
        modes(&server, &host)
            .map_or_else(|why| vec![why.to_string()], |modes| modes.iter().map(|mode| format!("{mode:?}")).collect())
    }

    #[test]
    fn each_sslmode_tries_what_libpq_tries() {
        assert_eq!(tried("disable", "db", None), ["Disable"]);
        assert_eq!(tried("allow", "db", None), ["Disable", "Require"]);
        assert_eq!(tried("prefer", "db", None), ["Prefer", "Disable"]);
        assert_eq!(tried("require", "db", None), ["Require"]);
        assert_eq!(tried("allow", "db", Some("/root.crt")), ["Disable", "VerifyCa"]);
        assert_eq!(tried("prefer", "db", Some("/root.crt")), ["VerifyCa", "Disable"]);
        assert_eq!(tried("require", "db", Some("/root.crt")), ["VerifyCa"]);
        assert_eq!(tried("verify-ca", "db", Some("/root.crt")), ["VerifyCa"]);
        assert_eq!(tried("verify-full", "db", Some("/root.crt")), ["VerifyFull"]);
        assert_eq!(tried("verify-full", "/run/postgresql", None), ["Disable"]);
        assert_eq!(tried("yes", "db", None), ["unknown sslmode \"yes\""]);
    }
}
