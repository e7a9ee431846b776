//! Sleeps until something is written to the write-ahead log, at no cost meanwhile.

#[cfg(target_os = "linux")]
pub(super) use linux::LogWrites;
#[cfg(not(target_os = "linux"))]
pub(super) use other::LogWrites;

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::OsString;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::time::Duration;

    use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
    use tokio::io::unix::AsyncFd;

    /// Asks the kernel to tell of writes (inotify); without its help, waits for a while.
    pub(in crate::sqlite) struct LogWrites {
        log: OsString,
        kernel: Option<AsyncFd<OwnedFd>>,
    }

    impl LogWrites {
        pub(in crate::sqlite) fn of(database: &Path) -> Self {
            let mut log = database.file_name().unwrap_or_default().to_owned();
            log.push("-wal");
            Self { log, kernel: database.parent().and_then(watch) }
        }

        /// Cancel safe: what was written while nobody waited is told at the next call.
        pub(in crate::sqlite) async fn next(&mut self, otherwise: Duration) {
            let Some(kernel) = &self.kernel else { return tokio::time::sleep(otherwise).await };
            loop {
                let Ok(mut ready) = kernel.readable().await else { break };
                let mut buffer = [MaybeUninit::uninit(); 4096];
                let mut reader = Reader::new(kernel.get_ref(), &mut buffer);
                let mut written = false;
                while let Ok(event) = reader.next() {
                    written |= event.file_name().is_none_or(|name| name.to_bytes() == self.log.as_bytes());
                }
                ready.clear_ready();
                if written {
                    return;
                }
            }
            self.kernel = None;
        }
    }

    // The directory, not the log: the log comes and goes. A watch opens no descriptor of a file of SQLite's.
    fn watch(directory: &Path) -> Option<AsyncFd<OwnedFd>> {
        let kernel = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
        add_watch(&kernel, directory, WatchFlags::MODIFY).ok()?;
        // What `register` would have us promise, an owned descriptor keeps by itself: it names one file for life.
        #[expect(deprecated, reason = "its successor is unsafe, and this crate has no unsafe code")]
        AsyncFd::new(kernel).ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::path::Path;
    use std::time::Duration;

    /// Waits for a while.
    pub(in crate::sqlite) struct LogWrites;

    impl LogWrites {
        pub(in crate::sqlite) fn of(_database: &Path) -> Self {
            Self
        }

        pub(in crate::sqlite) async fn next(&mut self, otherwise: Duration) {
            tokio::time::sleep(otherwise).await;
        }
    }
}
