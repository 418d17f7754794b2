//! The log's file: always under its own name, put aside by time, the oldest removed.
//!
//! Several processes may write to it at a time. Each appends whole lines; whoever finds that the
//! file's time is over puts it aside under a lock, and the others see that it is another one now.
//!
//! It may also be a terminal, `/dev/null` or a pipe that somebody reads; such a one is never put aside.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kronos_core::{Clock, Error, ErrorKind, Result, Timestamp};

use super::Rotate;

#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    rotate: Rotate,
    keep: usize,
    clock: Arc<dyn Clock>,
    file: File,
    /// The time that the file is for, as names have it.
    period: String,
    /// A line was written in part: the next one begins a new line.
    broken: bool,
}

impl LogFile {
    pub(super) fn open(path: &Path, rotate: Rotate, keep: u32, clock: Arc<dyn Clock>) -> Result<Self> {
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let opened = open(path).and_then(|file| Ok((period_of(&file, rotate, &*clock)?, file)));
        let (period, file) = opened.map_err(|e| {
            let kind = match e.kind() {
                io::ErrorKind::InvalidInput => ErrorKind::Unsupported,
                kind => ErrorKind::from(kind),
            };
            Error::new(kind, "the log's file could not be opened").with("file", path.display()).with_source(e)
        })?;
        Ok(Self { path: path.to_owned(), rotate, keep, clock, file, period, broken: false })
    }

    /// Writes whole lines. They are written even if the file could not be put aside, which is then
    /// told: the first error is of the lines, the second of that. A file that was deleted takes no
    /// lines: nobody would find them.
    pub(super) fn write(&mut self, lines: &[u8]) -> (io::Result<()>, io::Result<()>) {
        match self.turn() {
            Err(error) if self.is_deleted() => (Err(error), Ok(())),
            aside => (self.append(lines), aside),
        }
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if std::mem::take(&mut self.broken) {
            self.file.write_all(b"\n").inspect_err(|_| self.broken = true)?;
        }
        self.file.write_all(lines).inspect_err(|_| self.broken = true)
    }

    /// Takes another file where that is due.
    fn turn(&mut self) -> io::Result<()> {
        if !self.is_there()? {
            return self.renew();
        }
        if !self.file.metadata()?.is_file() {
            return Ok(());
        }
        let now = name_of(self.clock.now(), self.rotate);
        if now <= self.period {
            return Ok(());
        }
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(beside(&self.path, "lock"))?;
        lock.lock()?;
        if self.is_there()? {
            fs::rename(&self.path, self.free_name())?;
        }
        self.reopen()?;
        let removed = self.remove_old();
        drop(lock);
        removed
    }

    /// Whether the open file is the one that has the name.
    fn is_there(&self) -> io::Result<bool> {
        match fs::metadata(&self.path) {
            Ok(there) => Ok(same(&there, &self.file.metadata()?)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Whether the open file has no name any more.
    fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|open| is_deleted(&open))
    }

    /// Opens the file anew after others took it away, with its directory where that is gone too.
    fn renew(&mut self) -> io::Result<()> {
        match (self.reopen(), self.path.parent()) {
            (Err(e), Some(directory)) if e.kind() == io::ErrorKind::NotFound => {
                make_directory(directory)?;
                self.reopen()
            }
            (reopened, _) => reopened,
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        self.period = period_of(&self.file, self.rotate, &*self.clock)?;
        self.broken = false;
        Ok(())
    }

    /// Where the file goes. A clock that went back must not let it replace another one.
    fn free_name(&self) -> PathBuf {
        let first = beside(&self.path, &self.period);
        let next = (1..).map(|n: u64| beside(&self.path, &format!("{}.{n}", self.period)));
        std::iter::once(first).chain(next).find(|path| !path.exists()).unwrap_or_else(|| self.path.clone())
    }

    fn remove_old(&self) -> io::Result<()> {
        let name = self.path.file_name().map(|name| format!("{}.", name.to_string_lossy())).unwrap_or_default();
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut old = Vec::new();
        for entry in fs::read_dir(directory.unwrap_or(Path::new(".")))? {
            let entry = entry?;
            let is_old = entry.file_name().to_str().and_then(|n| n.strip_prefix(&name)).is_some_and(is_period);
            if is_old {
                old.push(entry.path());
            }
        }
        old.sort();
        for path in old.iter().take(old.len().saturating_sub(self.keep)) {
            match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A pipe that nobody reads would be waited for, and then the whole program with it.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o640).custom_flags(NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path).map_err(unread)?;
    suits(&file.metadata()?)?;
    #[cfg(unix)]
    rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - NONBLOCK)?;
    Ok(file)
}

#[cfg(unix)]
const NONBLOCK: rustix::fs::OFlags = rustix::fs::OFlags::NONBLOCK;

#[cfg(unix)]
fn unread(error: io::Error) -> io::Error {
    match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::NXIO) => {
            io::Error::new(io::ErrorKind::InvalidInput, "it is a socket, or a pipe that nobody reads")
        }
        _ => error,
    }
}

#[cfg(not(unix))]
fn unread(error: io::Error) -> io::Error {
    error
}

/// Lines are not written over a disk.
#[cfg(unix)]
fn suits(metadata: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_char_device() || kind.is_fifo() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file, terminal or pipe"))
}

#[cfg(not(unix))]
fn suits(_: &Metadata) -> io::Result<()> {
    Ok(())
}

fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o750);
    builder.recursive(true).create(path)
}

/// A file that holds something is for the time of its last change.
fn period_of(file: &File, rotate: Rotate, clock: &dyn Clock) -> io::Result<String> {
    let metadata = file.metadata()?;
    let changed = metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let changed = Timestamp::from_micros(i64::try_from(changed.as_micros()).unwrap_or(i64::MAX));
    Ok(name_of(if metadata.len() == 0 { clock.now() } else { changed }, rotate))
}

/// Such as `2026-11-28` or `2026-11-28-03`: later ones sort behind earlier ones.
fn name_of(time: Timestamp, rotate: Rotate) -> String {
    let text = time.to_string();
    match rotate {
        Rotate::Daily => text.chars().take(10).collect(),
        Rotate::Hourly => text.chars().take(13).collect::<String>().replace('T', "-"),
        Rotate::Never => String::new(),
    }
}

fn is_period(text: &str) -> bool {
    let (date, rest) = text.split_at_checked(10).unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b'.');
    date.len() == 10 && date.matches('-').count() == 2 && digits(date) && digits(rest)
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    PathBuf::from(name)
}

#[cfg(unix)]
fn same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(unix)]
fn is_deleted(open: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(open) == 0
}

#[cfg(not(unix))]
fn is_deleted(_: &Metadata) -> bool {
    false
}

/// Where files have no numbers, an open one cannot be moved away by others.
#[cfg(not(unix))]
fn same(_: &Metadata, _: &Metadata) -> bool {
    true
}
