//! Sees commits of other processes by watching the write-ahead log's index.
//!
//! The first 48 bytes of `<database>-shm` are the index's header, and any commit changes it
//! (<https://sqlite.org/walformat.html#the_wal_index_file_format>). What follows a second copy of it changes with
//! mere readers. We compare bytes for equality and read nothing into them: whatever they mean, a change is only a
//! hint to look.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// Between two looks. A look is one read of 48 bytes from memory.
const INTERVAL: Duration = Duration::from_millis(5);
/// Between two checks that the file still is the one with that name, in looks.
const LOOKS_AT_ONE_FILE: u32 = 100;

/// Notices commits to one database file.
pub(crate) struct Commits {
    index: PathBuf,
    file: Option<&'static File>,
    seen: Header,
    looks: u32,
}

type Header = [u8; 48];

impl Commits {
    pub(crate) fn of(database: &Path) -> Self {
        let mut index = database.as_os_str().to_owned();
        index.push("-shm");
        let mut this = Self { index: index.into(), file: None, seen: [0; 48], looks: 0 };
        this.look();
        this
    }

    pub(crate) async fn next(&mut self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if self.look() {
                return;
            }
        }
    }

    /// Whether something was committed since the last look.
    fn look(&mut self) -> bool {
        if self.looks.is_multiple_of(LOOKS_AT_ONE_FILE) {
            self.file = open(&self.index);
        }
        self.looks = self.looks.wrapping_add(1);
        let mut header = [0; 48];
        if let Some(file) = self.file
            && file.read_exact_at(&mut header, 0).is_err()
        {
            return false;
        }
        let changed = header != self.seen;
        self.seen = header;
        changed
    }
}

/// The file of that name, opened once for each file that ever has it.
fn open(index: &Path) -> Option<&'static File> {
    // SQLite's locks on the index are POSIX locks: they belong to the process and end when the process closes any
    // descriptor of the file. So a descriptor, once opened, stays open for ever; one for each file, not each watcher.
    static OPENED: LazyLock<Mutex<HashMap<(u64, u64), &'static File>>> = LazyLock::new(Mutex::default);

    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let named = std::fs::metadata(index).ok()?;
    if let Some(file) = opened.get(&(named.dev(), named.ino())) {
        return Some(file);
    }
    let file: &'static File = Box::leak(Box::new(File::open(index).ok()?));
    let found = file.metadata().ok()?;
    opened.insert((found.dev(), found.ino()), file);
    Some(file)
}
