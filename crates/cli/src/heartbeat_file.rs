//! A file that is written anew each time the worker's lease is renewed, so that a probe looks at its age and asks no database.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gristmill_core::{Lease, WorkerId};
use gristmill_engine::Standing;
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::{info, warn};

/// It is written no oftener, however often a lease is renewed.
const APART: Duration = Duration::from_millis(250);
/// How long the end of a worker waits for a write that is under way.
const LAST_WRITE: Duration = Duration::from_secs(1);
/// Longer is no heartbeat of ours.
const MOST_BYTES: u64 = 4_096;

/// Where it is, and what it says.
#[derive(Clone)]
pub(crate) struct HeartbeatFile {
    path: PathBuf,
    lease: Lease,
}

impl HeartbeatFile {
    /// Clears away what an earlier worker has left, and tries whether one can be written.
    ///
    /// # Errors
    /// One sentence: where it cannot be, or where there is a file that is none of ours.
    pub(crate) fn prepare(path: &Path, lease: Lease) -> std::result::Result<Self, String> {
        let file = Self { path: path.to_owned(), lease };
        let told = |error: Error| format!("--heartbeat-file {} cannot be written: {error}", path.display());
        match file.is_ours() {
            Ok(true) => fs::remove_file(path).map_err(told)?,
            Ok(false) => {
                return Err(format!(
                    "--heartbeat-file {} is there and is no worker's heartbeat; remove it, or name another",
                    path.display()
                ));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(told(error)),
        }
        file.write_beside(WorkerId::new()).and_then(|()| fs::remove_file(file.beside())).map_err(told)?;
        Ok(file)
    }

    /// Writes it whenever the lease is renewed, until the worker has ended. What goes wrong is told once.
    pub(crate) async fn keep(self, mut standing: watch::Receiver<Standing>) {
        let (mut written_at, mut is_failing) = (None::<Instant>, false);
        loop {
            let Standing { worker, until, .. } = *standing.borrow_and_update();
            if until.is_some() && written_at.is_none_or(|at| at.elapsed() >= APART) {
                let file = self.clone();
                // Beside the loops: a file system may take its time.
                let written = tokio::task::spawn_blocking(move || file.write(worker)).await;
                written_at = Some(Instant::now());
                is_failing = self.told(is_failing, &written.unwrap_or_else(|panic| Err(Error::other(panic))));
            }
            if standing.changed().await.is_err() {
                return;
            }
        }
    }

    // What goes wrong again and again is told once, and so is its end.
    fn told(&self, was_failing: bool, written: &Result<()>) -> bool {
        let path = self.path.display();
        match written {
            Ok(()) if was_failing => info!(%path, "the heartbeat file is written again"),
            Err(error) if !was_failing => {
                warn!(%path, %error, "the heartbeat file cannot be written; the worker goes on");
            }
            _ => {}
        }
        written.is_err()
    }

    /// Takes it away once whoever keeps it is done: the worker has ended in good order.
    pub(crate) async fn remove(self, kept: tokio::task::JoinHandle<()>) {
        let removed = async {
            let _ = kept.await;
            let _ = tokio::task::spawn_blocking(move || fs::remove_file(self.path)).await;
        };
        let _ = tokio::time::timeout(LAST_WRITE, removed).await;
    }

    fn write(&self, worker: WorkerId) -> Result<()> {
        self.write_beside(worker)?;
        // Whoever looks sees the last one, or this one as a whole.
        fs::rename(self.beside(), &self.path)
    }

    fn write_beside(&self, worker: WorkerId) -> Result<()> {
        let said = json!({
            "worker": worker.to_string(),
            "pid": std::process::id(),
            "heartbeat_seconds": self.lease.heartbeat.as_secs_f64(),
            "lease_seconds": self.lease.length().as_secs_f64(),
        });
        fs::write(self.beside(), format!("{said}\n"))
    }

    fn beside(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        name.into()
    }

    // Whoever names a file of theirs by mistake keeps it.
    fn is_ours(&self) -> Result<bool> {
        let kept = fs::metadata(&self.path)?;
        if !kept.is_file() || kept.len() > MOST_BYTES {
            return Ok(false);
        }
        let text = fs::read(&self.path)?;
        let is_heartbeat = serde_json::from_slice::<Value>(&text).is_ok_and(|said| said["worker"].is_string());
        Ok(text.is_empty() || is_heartbeat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("gristmill-heartbeat-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder for the test");
        folder
    }

    fn lease() -> Lease {
        Lease::new(Duration::from_secs(5))
    }

    #[test]
    fn what_an_earlier_worker_left_is_cleared_away_at_the_start_and_nothing_is_there_before_the_first_heartbeat() {
        let path = folder("left").join("heartbeat");
        let file = HeartbeatFile::prepare(&path, lease()).expect("can be written");
        file.write(WorkerId::new()).expect("writes");
        assert!(path.exists() && !file.beside().exists());

        HeartbeatFile::prepare(&path, lease()).expect("is ours");

        assert!(!path.exists() && !file.beside().exists());
    }

    #[test]
    fn a_heartbeat_says_whose_it_is_and_how_old_it_may_be() {
        let path = folder("says").join("heartbeat");
        let (file, worker) = (HeartbeatFile::prepare(&path, lease()).expect("can be written"), WorkerId::new());
        file.write(worker).expect("writes");

        let said: Value = serde_json::from_str(&fs::read_to_string(&path).expect("is there")).expect("is JSON");

        assert_eq!((said["worker"].as_str(), said["lease_seconds"].as_f64()), (Some(&*worker.to_string()), Some(60.0)));
    }

    #[test]
    fn somebody_elses_file_is_left_alone_and_what_cannot_be_written_is_one_sentence() {
        let folder = folder("theirs");
        let settings = folder.join("settings.py");
        fs::write(&settings, "DEBUG = True\n").expect("writes");

        for (path, words) in [
            (settings.clone(), "is there and is no worker's heartbeat"),
            (folder.clone(), "is there and is no worker's heartbeat"),
            (folder.join("nowhere/heartbeat"), "cannot be written: No such file or directory"),
            (settings.join("heartbeat"), "cannot be written: Not a directory"),
        ] {
            let why = HeartbeatFile::prepare(&path, lease()).err().expect("is refused");
            assert!(why.contains(words), "{why}");
        }

        assert_eq!(fs::read_to_string(settings).expect("is there"), "DEBUG = True\n");
    }

    #[test]
    fn what_goes_wrong_again_and_again_is_told_until_it_is_mended() {
        let folder = folder("fails");
        let file = HeartbeatFile::prepare(&folder.join("heartbeat"), lease()).expect("can be written");
        fs::remove_dir_all(&folder).expect("removes");
        let failing = file.told(false, &file.write(WorkerId::new()));
        assert!(failing && file.told(failing, &file.write(WorkerId::new())));

        fs::create_dir_all(&folder).expect("creates");

        assert!(!file.told(failing, &file.write(WorkerId::new())));
    }
}
