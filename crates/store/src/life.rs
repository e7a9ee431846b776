//! Shows by a lock that a worker lives, beside a SQLite file.
//!
//! SQLite serves one host, so the operating system knows better than any clock whether a worker is alive: it holds a
//! lock on a file of its own, `<database>-gristmill-<worker id>.lock`, and loses it when it ends, however it ends. Its
//! zygote holds it too, until all its runners are gone: who finds it free can take over at once. A transactional task that
//! blocks the database, and so all heartbeats, for minutes then costs nobody his life.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use gristmill_core::WorkerId;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;

use crate::{Error, Result};

/// The lock files of the workers on one database.
#[derive(Clone, Debug)]
pub struct Lives {
    database: PathBuf,
}

impl Lives {
    /// Of those on the database in this file.
    pub fn beside(database: &Path) -> Self {
        Self { database: database.to_owned() }
    }

    /// Takes a worker's lock.
    pub fn hold(&self, worker: WorkerId) -> Result<LifeLock> {
        let path = self.file(worker);
        let file = self.open(&path, OFlags::CREATE).and_then(|file| {
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            Ok(file)
        });
        match file {
            Ok(file) => Ok(LifeLock(Some((path, file)))),
            Err(why) => Err(Error::Settings(format!(
                "a worker must be able to write beside the database: {}: {}",
                path.display(),
                io::Error::from(why)
            ))),
        }
    }

    /// Whether a worker holds its lock. When in doubt it does: a wrong yes costs time, a wrong no runs a job twice.
    pub fn is_held(&self, worker: WorkerId) -> bool {
        match self.open(&self.file(worker), OFlags::empty()) {
            // Shared, so that two who ask at once do not take each other for the worker.
            Ok(file) => flock(&file, FlockOperation::NonBlockingLockShared).is_err(),
            Err(why) => why != Errno::NOENT,
        }
    }

    /// Removes what a dead worker left behind.
    pub(crate) fn forget(&self, worker: WorkerId) {
        let _ = std::fs::remove_file(self.file(worker));
    }

    /// The path of a worker's lock.
    pub fn file(&self, worker: WorkerId) -> PathBuf {
        let mut name = self.database.as_os_str().to_owned();
        name.push(format!("-gristmill-{worker}.lock"));
        name.into()
    }

    fn open(&self, path: &Path, how: OFlags) -> rustix::io::Result<File> {
        // Who may write the database may ask for its workers.
        let mode = std::fs::metadata(&self.database).map_or(0o600, |database| database.mode() & 0o666);
        // Handed on by [`LifeLock::share`] alone: the lock lives as long as any copy of the descriptor.
        open(path, OFlags::RDWR | OFlags::CLOEXEC | how, Mode::from_raw_mode(mode)).map(File::from)
    }
}

/// Held as long as its worker lives; see [`crate::Store::hold_life`].
#[derive(Debug)]
#[must_use = "the worker counts as dead when this is dropped"]
pub struct LifeLock(Option<(PathBuf, File)>);

impl LifeLock {
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Whether others judge the worker by this lock, and not by its heartbeats.
    pub fn decides(&self) -> bool {
        self.0.is_some()
    }

    /// Something for another process of the worker to keep open: the lock is held until that is closed too.
    ///
    /// # Errors
    /// Where this process has no descriptor left.
    pub fn share(&self) -> io::Result<Option<OwnedFd>> {
        self.0.as_ref().map(|(_, file)| file.as_fd().try_clone_to_owned()).transpose()
    }

    /// Removes its file with it: the worker has signed off, or is another one by now. A lock that is only dropped leaves the
    /// file, by which others see whether what shares it is gone too; whoever declares the worker lost removes it then.
    pub fn remove(self) {
        if let Some((path, _file)) = self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}
