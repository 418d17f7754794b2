//! Reaches the open file of a connection: a second descriptor on a live database must never be
//! opened, as closing it would drop every POSIX lock that this process has on the file.

use std::os::raw::c_int;
use std::ptr;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ffi};

/// Reads the first bytes of the main database file; `None` when the file is shorter than that.
pub(in crate::sqlite) fn read_main_file<const N: usize>(
    connection: &Connection,
) -> Result<Option<[u8; N]>, rusqlite::Error> {
    let file = main_file(connection)?;
    let mut buffer = [0; N];
    let length = c_int::try_from(N).expect("a header is short");
    // SAFETY: `main_file` gives an open file with its methods; the buffer is `length` bytes long;
    // reading through the file changes no state of the connection, which is borrowed.
    let code = unsafe {
        let methods = &*(*file).pMethods;
        let read = methods.xRead.expect("every file of SQLite can be read");
        read(file, buffer.as_mut_ptr().cast(), length, 0)
    };
    match code {
        ffi::SQLITE_OK => Ok(Some(buffer)),
        ffi::SQLITE_IOERR_SHORT_READ => Ok(None),
        code => Err(failure(code)),
    }
}

/// Removes the `-shm` file if nobody else has the database open; to be called right before the
/// connection is closed, without an open transaction.
///
/// SQLite does the same when it closes the last connection, but only together with a checkpoint,
/// which would change the file that is being backed up. The test is SQLite's own, too: whoever
/// uses the `-shm` file holds a shared lock on the database, so the exclusive lock proves that
/// there is nobody.
pub(in crate::sqlite) fn remove_shared_memory(connection: &Connection) -> Result<(), rusqlite::Error> {
    // In a transaction, or in a checkpoint on closing, SQLite would use the memory unmapped here.
    let may_unmap = connection.is_autocommit() && connection.db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE)?;
    if !may_unmap {
        return Ok(());
    }
    let file = main_file(connection)?;
    // SAFETY: as above for `file` and its methods. Without a transaction the connection does not
    // touch its mapping, and closing it does not either (see above) but to unmap it again, which
    // is a no-op by then.
    unsafe {
        let methods = &*(*file).pMethods;
        let (Some(lock), Some(unmap)) = (methods.xLock, methods.xShmUnmap) else { return Ok(()) };
        if lock(file, ffi::SQLITE_LOCK_EXCLUSIVE) == ffi::SQLITE_OK {
            unmap(file, 1);
        }
    }
    Ok(())
}

fn main_file(connection: &Connection) -> Result<*mut ffi::sqlite3_file, rusqlite::Error> {
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    // SAFETY: the handle is that of a live connection; this operation writes one pointer to where
    // its argument points.
    let code = unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            ptr::from_mut(&mut file).cast(),
        )
    };
    // SAFETY: a pointer that SQLite has just given is valid while the connection lives.
    if code == ffi::SQLITE_OK && !file.is_null() && unsafe { !(*file).pMethods.is_null() } {
        Ok(file)
    } else {
        Err(failure(if code == ffi::SQLITE_OK { ffi::SQLITE_CANTOPEN } else { code }))
    }
}

fn failure(code: c_int) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}
