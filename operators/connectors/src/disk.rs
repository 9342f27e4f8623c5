//! What the standard library leaves open of files: errors that name the path, durable replacement, locks with a deadline.

use crate::LogError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to wait between two tries of a lock that is held for the length of one append.
const LOCK_INTERVAL: Duration = Duration::from_millis(2);

/// Turns an error of the operating system into one that says what was tried on what.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError::Io { action, path, source }
}

/// Makes creations, renames and removals within `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), LogError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", dir))
}

/// Replaces the file at `path`: whoever opens it, after a crash too, finds the old bytes or the new ones.
///
/// # Errors
/// When the operating system refuses.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    let temporary = path.with_added_extension("tmp");
    let mut file = File::create(&temporary).map_err(failed("create", &temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", &temporary))?;
    fs::rename(&temporary, path).map_err(failed("replace", path))?;
    // The parent of a bare name is empty.
    sync_dir(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Takes the lock that the file at `path` stands for, for as long as the returned file is open; the operating system
/// releases it when the process dies. Waits up to `wait`, then says that `dir` is in use.
pub(crate) fn lock(dir: &Path, path: &Path, wait: Duration) -> Result<File, LogError> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(path).map_err(failed("open", path))?;
    let deadline = Instant::now() + wait;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(LogError::InUse { dir: dir.to_owned() });
            }
            // A lock of the operating system cannot be waited for with a deadline.
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_INTERVAL),
            Err(TryLockError::Error(source)) => return Err(failed("lock", path)(source)),
        }
    }
}
