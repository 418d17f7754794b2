//! Puts finished files into their places, all of them or none.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kronos_core::{Entropy, Error, ErrorKind, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::error;
use super::open::side_file;
use super::page_file::{PageFile, temporary_name};
use super::target::SIDE_FILES;

/// How long an old database may be busy before it counts as in use.
const BUSY: Duration = Duration::from_millis(500);

/// Makes sure that nobody is using an old database that is to be replaced; changes nothing.
pub(super) fn check_unused(path: &Path) -> Result<()> {
    lock(path).map(drop)
}

/// Puts each file into its place. If one fails, those before it are taken back.
pub(super) fn place(files: &mut [(PageFile, PathBuf)], replace: bool, entropy: &dyn Entropy) -> Result<()> {
    let mut placed = Placed::default();
    for (file, target) in &mut *files {
        file.settle()?;
        if replace {
            placed.replace(file.path(), target, entropy)?;
        } else {
            placed.add(file.path(), target)?;
        }
    }
    for (_, target) in files {
        sync_directory(target)?;
    }
    placed.keep();
    Ok(())
}

/// What has been put into place so far. Dropping it takes all of it back.
#[derive(Default)]
struct Placed(Vec<Step>);

struct Step {
    target: PathBuf,
    old: Old,
}

/// What was under the name before.
enum Old {
    Absent,
    /// It has a second name, by which it can be put back.
    Saved(PathBuf),
    /// A file system without links can replace all the same, but not take it back.
    Unsaved,
}

impl Placed {
    /// A file that has appeared meanwhile is not overwritten.
    fn add(&mut self, new: &Path, target: &Path) -> Result<()> {
        if let Some(side) = SIDE_FILES.map(|suffix| side_file(target, suffix)).into_iter().find(|side| side.exists()) {
            return Err(error::io(std::io::ErrorKind::AlreadyExists.into(), &side));
        }
        let renamed = match renameat_with(CWD, new, CWD, target, RenameFlags::NOREPLACE) {
            // This file system cannot do it in one step; a second link is refused in the same way.
            Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(new, target),
            result => result.map_err(Into::into),
        };
        renamed.map_err(|e| error::io(e, target))?;
        self.0.push(Step { target: target.to_owned(), old: Old::Absent });
        Ok(())
    }

    fn replace(&mut self, new: &Path, target: &Path, entropy: &dyn Entropy) -> Result<()> {
        // Held across the swap: nobody can write to the old file while it loses its name.
        let locked = lock(target)?;
        if let Some(old) = &locked {
            // Its log goes into the old file before the log is removed: at every moment there is
            // one whole database under the name.
            old.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").map_err(|e| error::sqlite(e, target))?;
            old.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
                .map_err(|e| error::sqlite(e, target))?;
        }
        let old = if target.exists() {
            let second = target.with_file_name(temporary_name(target, entropy));
            fs::hard_link(target, &second).ok().map_or(Old::Unsaved, |()| Old::Saved(second))
        } else {
            Old::Absent
        };
        let cleared = SIDE_FILES.iter().try_for_each(|suffix| remove(&side_file(target, suffix)));
        let swapped = cleared.and_then(|()| fs::rename(new, target).map_err(|e| error::io(e, target)));
        if let Err(failure) = swapped {
            forget(old);
            return Err(failure);
        }
        self.0.push(Step { target: target.to_owned(), old });
        Ok(())
    }

    fn keep(mut self) {
        for step in self.0.drain(..) {
            forget(step.old);
        }
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        // The error that brought us here is the one to report.
        for step in self.0.drain(..) {
            drop(match &step.old {
                Old::Saved(old) => fs::rename(old, &step.target),
                Old::Absent => fs::remove_file(&step.target),
                // The new file is whole and checked; without it there would be none at all.
                Old::Unsaved => Ok(()),
            });
        }
    }
}

/// Locks an old database against everybody, `Locked` if somebody has it open. `None` if there is no
/// database to lock.
fn lock(path: &Path) -> Result<Option<Connection>> {
    if !fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0) {
        return Ok(None);
    }
    let had_log = side_file(path, "-wal").exists();
    let path = fs::canonicalize(path).map_err(|e| error::io(e, path))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let locked = Connection::open_with_flags(&path, flags).and_then(|connection| {
        connection.busy_timeout(BUSY)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, had_log)?;
        // Set before the log is opened, this makes SQLite ask for the whole file: so connections
        // are seen that are open but idle, as each of them holds a shared lock in WAL mode.
        connection.execute_batch("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT")?;
        Ok(connection)
    });
    match locked {
        Ok(connection) => Ok(Some(connection)),
        // What is no database, or a broken one, is in nobody's use and may be replaced.
        Err(e) if matches!(e.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)) => {
            Ok(None)
        }
        Err(e) => match error::sqlite(e, &path) {
            e if e.kind() == ErrorKind::Locked => Err(e.with("hint", "stop the program that uses the old database")),
            e => Err(e),
        },
    }
}

/// Removes the second name of an old file; if that fails, it is only a file too many.
fn forget(old: Old) {
    if let Old::Saved(second) = old {
        let _ = fs::remove_file(second);
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(error::io(e, path)),
        _ => Ok(()),
    }
}

fn sync_directory(file: &Path) -> Result<(), Error> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::File::open(directory).and_then(|opened| opened.sync_all()).map_err(|e| error::io(e, directory))
}
