//! Locks on files, which whoever has them needs for a moment.

use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

/// So long nobody needs one who is well.
const PATIENCE: Duration = Duration::from_secs(10);

/// For one alone. `TimedOut` when somebody else does not let go of it.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    wait(|| file.try_lock())
}

/// For several at a time.
pub(crate) fn lock_shared(file: &File) -> io::Result<()> {
    wait(|| file.try_lock_shared())
}

fn wait(attempt: impl Fn() -> Result<(), TryLockError>) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(e)) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
            Err(_) if Instant::now() >= until => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "another program holds the lock"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
