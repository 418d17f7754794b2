//! A destination for SQLite's backup API that hands each page on instead of storing it.
//!
//! The backup API is the one way to read raw pages of a snapshot, whatever the journal mode, and
//! it writes to a database only. So the destination is a database on a file system ("VFS") of our
//! own, whose `xWrite` is the next stage. A small page cache without a journal makes SQLite write
//! the pages in order and hold few of them. (`sqlite_dbpage` is not in the bundled build,
//! `sqlite3_serialize` needs memory for the whole file, `VACUUM INTO` moves every page.)
//!
//! # Why this is sound
//!
//! Everything lives inside [`copy_pages`]: `State` is made before the file system is registered,
//! and its destination connection, the only user, is closed before the file system is
//! unregistered and `State` is freed; locals are dropped in the reverse order of their making, so
//! this holds on every way out, a panic too. Should closing fail, `State` is leaked rather than
//! freed. SQLite calls back only within calls made on the calling thread, so nothing in `State`
//! is reached from two threads; the registry itself is guarded by SQLite's own mutex. No panic
//! crosses into C.

use std::ffi::CString;
use std::mem;
use std::os::raw::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use kronos_core::{Error, Result};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, ffi};

use crate::sqlite::error;
use crate::sqlite::order::PageOrder;

/// Pages copied between two looks at `proceed`.
const STEP: c_int = 64;

const PREPARE: &str = "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE; \
                       PRAGMA cache_size=16; PRAGMA cache_spill=ON;";

/// Copies all pages of `source` into `order`. A read transaction must be open on the source: other
/// writers then never make the backup API start over. `proceed` is asked between steps.
pub(in crate::sqlite) fn copy_pages(
    source: &Connection,
    path: &std::path::Path,
    order: &mut PageOrder<'_>,
    proceed: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let failed = |e| error::sqlite(e, path);
    let vfs = Registered::new(order)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut pages = Connection::open_with_flags_and_vfs("pages", flags, vfs.name()).map_err(failed)?;
    pages.execute_batch(PREPARE).map_err(failed)?;
    let copied = copy(source, &mut pages, proceed, failed);
    // Whatever SQLite made of an error of the next stage, that error is the cause.
    let cause = vfs.take_failure();
    if let Err((unclosed, _)) = pages.close() {
        mem::forget(unclosed);
        mem::forget(vfs);
        return Err(error::internal("SQLite did not close the destination of a backup"));
    }
    match cause {
        Some(cause) => Err(cause),
        None => copied,
    }
}

fn copy(
    source: &Connection,
    pages: &mut Connection,
    proceed: &dyn Fn() -> Result<()>,
    failed: impl Fn(rusqlite::Error) -> Error,
) -> Result<()> {
    let backup = Backup::new(source, pages).map_err(&failed)?;
    loop {
        proceed()?;
        match backup.step(STEP).map_err(&failed)? {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // Cannot be: the source's read transaction is open, the destination is ours alone.
            _ => return Err(error::internal("SQLite's backup found its source locked")),
        }
    }
}

/// What the callbacks reach.
struct State {
    vfs: ffi::sqlite3_vfs,
    name: CString,
    order: *mut PageOrder<'static>,
    /// Where the last written page ends.
    size: i64,
    failure: Option<Error>,
}

/// The file system, registered as long as this lives.
struct Registered(*mut State);

impl Registered {
    fn new(order: &mut PageOrder<'_>) -> Result<Self> {
        let state = Box::into_raw(Box::new(State {
            vfs: empty_vfs(),
            name: CString::default(),
            order: ptr::from_mut(order).cast(),
            size: 0,
            failure: None,
        }));
        // The address is unique among what is registered.
        let name = CString::new(format!("kronos-pages-{state:p}")).expect("an address holds no NUL");
        // SAFETY: `state` comes from a box and nothing else knows it yet. `name` and `vfs` stay
        // where they are until `drop`. The default file system is part of SQLite, its functions
        // for time, sleep and randomness are borrowed and get it as their argument (see below).
        let code = unsafe {
            (*state).name = name;
            (*state).vfs.zName = (*state).name.as_ptr();
            (*state).vfs.pAppData = state.cast();
            ffi::sqlite3_vfs_register(&raw mut (*state).vfs, 0)
        };
        let registered = Self(state);
        if code == ffi::SQLITE_OK {
            Ok(registered)
        } else {
            Err(error::internal(format!("SQLite did not take a file system: code {code}")))
        }
    }

    fn name(&self) -> &std::ffi::CStr {
        // SAFETY: the state lives as long as `self`; the name never changes.
        unsafe { &(*self.0).name }
    }

    fn take_failure(&self) -> Option<Error> {
        // SAFETY: the state lives as long as `self`, and no callback runs now.
        unsafe { (*self.0).failure.take() }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: the destination connection is closed (see the module); unregistering what is not
        // registered does nothing; the box is freed once.
        unsafe {
            ffi::sqlite3_vfs_unregister(&raw mut (*self.0).vfs);
            drop(Box::from_raw(self.0));
        }
    }
}

/// The one open file, in memory that SQLite allocates: `szOsFile` bytes.
#[repr(C)]
struct SinkFile {
    base: ffi::sqlite3_file,
    state: *mut State,
}

fn empty_vfs() -> ffi::sqlite3_vfs {
    ffi::sqlite3_vfs {
        iVersion: 1,
        szOsFile: c_int::try_from(mem::size_of::<SinkFile>()).expect("two pointers are small"),
        mxPathname: 64,
        pNext: ptr::null_mut(),
        zName: ptr::null(),
        pAppData: ptr::null_mut(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: None,
        xCurrentTimeInt64: None,
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(lock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

// SAFETY of the callbacks: SQLite passes the `sqlite3_vfs` that was registered, the `sqlite3_file`
// that `open` has filled in, and buffers of the lengths it says; see the module for lifetimes.

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    _: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    unsafe {
        // Nothing but the database itself: journals and temporary files have no place here.
        if flags & ffi::SQLITE_OPEN_MAIN_DB == 0 {
            (*file).pMethods = ptr::null();
            return ffi::SQLITE_CANTOPEN;
        }
        let file = file.cast::<SinkFile>();
        (*file).base.pMethods = &raw const METHODS;
        (*file).state = (*vfs).pAppData.cast();
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, bytes: *const c_void, length: c_int, offset: i64) -> c_int {
    let (state, bytes) = unsafe {
        let Ok(length) = usize::try_from(length) else { return ffi::SQLITE_IOERR_WRITE };
        (&mut *(*file.cast::<SinkFile>()).state, std::slice::from_raw_parts(bytes.cast::<u8>(), length))
    };
    if state.failure.is_some() {
        return ffi::SQLITE_IOERR_WRITE;
    }
    let order = unsafe { &mut *state.order };
    let written = catch_unwind(AssertUnwindSafe(|| {
        let page_size = i64::from(order.page_size());
        match u32::try_from(offset / page_size + 1) {
            Ok(number) if offset % page_size == 0 => order.page(number, bytes),
            _ => Err(error::internal(format!("SQLite wrote at {offset}, which is no page"))),
        }
    }));
    match written.unwrap_or_else(|_| Err(error::internal("the stage behind SQLite's backup panicked"))) {
        Ok(()) => {
            state.size = state.size.max(offset + i64::from(length));
            ffi::SQLITE_OK
        }
        Err(failure) => {
            state.failure = Some(failure);
            ffi::SQLITE_IOERR_WRITE
        }
    }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, buffer: *mut c_void, length: c_int, offset: i64) -> c_int {
    let (state, buffer) = unsafe {
        let Ok(length) = usize::try_from(length) else { return ffi::SQLITE_IOERR_READ };
        (&*(*file.cast::<SinkFile>()).state, std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length))
    };
    // Only the empty file is ever read, when it is opened; a page that has gone is gone.
    if offset < state.size {
        return ffi::SQLITE_IOERR_READ;
    }
    buffer.fill(0);
    ffi::SQLITE_IOERR_SHORT_READ
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    unsafe { *size = (*(*file.cast::<SinkFile>()).state).size };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn check_reserved_lock(_: *mut ffi::sqlite3_file, locked: *mut c_int) -> c_int {
    unsafe { *locked = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn truncate(_: *mut ffi::sqlite3_file, _: i64) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn sync(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    512
}

unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    0
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, _: *const c_char, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn access(_: *mut ffi::sqlite3_vfs, _: *const c_char, _: c_int, found: *mut c_int) -> c_int {
    unsafe { *found = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    unsafe {
        let name = std::ffi::CStr::from_ptr(name).to_bytes_with_nul();
        if usize::try_from(room).is_ok_and(|room| name.len() <= room) {
            ptr::copy_nonoverlapping(name.as_ptr().cast(), out, name.len());
            return ffi::SQLITE_OK;
        }
    }
    ffi::SQLITE_CANTOPEN
}

unsafe extern "C" fn randomness(_: *mut ffi::sqlite3_vfs, length: c_int, out: *mut c_char) -> c_int {
    unsafe {
        let system = ffi::sqlite3_vfs_find(ptr::null());
        if system.is_null() { None } else { (*system).xRandomness }.map_or(0, |random| random(system, length, out))
    }
}

unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, micros: c_int) -> c_int {
    unsafe {
        let system = ffi::sqlite3_vfs_find(ptr::null());
        if system.is_null() { None } else { (*system).xSleep }.map_or(0, |sleep| sleep(system, micros))
    }
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    unsafe {
        let system = ffi::sqlite3_vfs_find(ptr::null());
        if system.is_null() { None } else { (*system).xCurrentTime }.map_or(ffi::SQLITE_ERROR, |now| now(system, out))
    }
}
