//! A PostgreSQL server for tests: the one that `GRISTMILL_TEST_POSTGRES` names, or a throw-away one.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Holds a URL of a server that already runs, for a role that may create databases.
pub const VARIABLE: &str = "GRISTMILL_TEST_POSTGRES";

/// A server; a throw-away one ends with this value, or with this process, however it ends.
pub struct Server {
    url: String,
    guard: Option<Child>,
}

/// Whether commits of a throw-away server wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// They do not: for tests.
    Off,
    /// They do: for measurements.
    On,
}

impl Server {
    /// The server to test with.
    ///
    /// # Panics
    /// With a sentence that says what to install or to set, when there is none.
    pub fn start(durability: Durability) -> Self {
        match std::env::var(VARIABLE) {
            Ok(url) => Self { url, guard: None },
            Err(_) => Self::throw_away(durability, "primary"),
        }
    }

    /// A throw-away standby that follows nobody.
    pub fn standby() -> Self {
        Self::throw_away(Durability::Off, "standby")
    }

    fn throw_away(durability: Durability, role: &str) -> Self {
        let binaries = binaries().unwrap_or_else(|| {
            panic!("no PostgreSQL server found: install one (Debian: apt-get install postgresql) or set {VARIABLE}")
        });
        // Between this and the server's start someone else may take the port; it then fails and says so.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        let fsync = if durability == Durability::On { "on" } else { "off" };

        let mut guard = as_postgres()
            .args(["sh", "-c", GUARD, "guard"])
            .arg(&binaries)
            .args([&port.to_string(), fsync, role])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A Ctrl-C is for the tests; the guard sees their end.
            .process_group(0)
            .current_dir("/")
            .spawn()
            .expect("sh runs");
        let mut word = String::new();
        let _ = BufReader::new(guard.stdout.take().expect("piped")).read_line(&mut word);
        assert_eq!(word, "ready\n", "the PostgreSQL server of {} did not start", binaries.display());
        Self { url: format!("postgres://gristmill@127.0.0.1:{port}/postgres"), guard: Some(guard) }
    }

    /// Leads to a database on it that always exists.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Leads to another database on it.
    ///
    /// # Panics
    /// When the server was given by a URL that names no database.
    pub fn url_of(&self, database: &str) -> String {
        let (rest, query) = self.url.split_once('?').map_or((self.url.as_str(), None), |(rest, q)| (rest, Some(q)));
        let slash = rest.rfind('/').expect("the URL names a database");
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}/{database}{query}", &rest[..slash])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(guard) = &mut self.guard {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}

/// Runs the server until its own standard input closes: when the tests end, even if they are killed.
const GUARD: &str = r#"
set -eu
binaries=$1 port=$2 fsync=$3 role=$4
directory=$(mktemp -d "${TMPDIR:-/tmp}/gristmill-postgres.XXXXXX")
server=
finish() {
    if [ -n "$server" ]; then
        kill -INT "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$directory"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM
if ! "$binaries/initdb" --pgdata="$directory/data" --username=gristmill --auth=trust --encoding=UTF8 --no-locale \
    --no-sync >"$directory/log" 2>&1
then
    cat "$directory/log" >&2
    exit 1
fi
[ "$role" = primary ] || touch "$directory/data/standby.signal"
"$binaries/postgres" -D "$directory/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c fsync="$fsync" -c full_page_writes="$fsync" -c max_connections=200 -c shared_buffers=256MB \
    -c max_wal_size=2GB >>"$directory/log" 2>&1 </dev/null &
server=$!
until "$binaries/pg_isready" -q -h 127.0.0.1 -p "$port"; do
    if ! kill -0 "$server" 2>/dev/null; then
        cat "$directory/log" >&2
        exit 1
    fi
    sleep 0.05
done
echo ready
read -r nothing || true
"#;

/// The newest server's binaries.
fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort_by_key(|path| path.parent().and_then(Path::file_name)?.to_str()?.parse::<u32>().ok());
    versions.into_iter().rev().chain(on_path()).find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
}

fn on_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// The server refuses to run as root.
fn as_postgres() -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new("env");
    }
    let known = |name: &str| on_path().iter().any(|directory| directory.join(name).exists());
    if known("setpriv") {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]);
        command
    } else {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]);
        command
    }
}
