//! The thread that writes lines: whoever logs never waits for a disk.
//!
//! Lines wait in a queue with a bound. When it is full, or the disk is, lines are lost: they are
//! counted, and told of in the log itself as soon as it can be written again.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kronos_core::{Clock, Error, ErrorKind, Result};
use tracing_subscriber::fmt::MakeWriter;

use super::LogFormat;
use super::file::LogFile;
use crate::mask::mask;

const QUEUE: usize = 4096;
/// How long the end waits for a disk that does not answer.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// How the log does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogHealth {
    /// Lines that could not be written, since the start.
    pub lost: u64,
    /// What is wrong now.
    pub error: Option<String>,
}

/// Tells how the log does, without keeping it open. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogWatch(Arc<Shared>);

impl LogWatch {
    /// How the log does.
    pub fn health(&self) -> LogHealth {
        self.0.health()
    }
}

#[derive(Debug, Default)]
struct Shared {
    lost: AtomicU64,
    error: Mutex<Option<String>>,
}

impl Shared {
    /// Notes what is wrong; tells whether that is new.
    fn set(&self, error: Option<String>) -> bool {
        let mut now = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        let new = *now != error;
        *now = error;
        new
    }

    fn health(&self) -> LogHealth {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        LogHealth { lost: self.lost.load(Ordering::SeqCst), error }
    }
}

/// Where people see what is wrong with the log, and the log itself if they like.
pub struct Terminal {
    to: Box<dyn Write + Send>,
    shows_lines: bool,
}

impl Terminal {
    /// Gets every line of the log.
    pub fn of_lines(to: impl Write + Send + 'static) -> Self {
        Self { to: Box::new(to), shows_lines: true }
    }

    /// Gets only what is wrong with the log itself, such as a full disk: for a log that is in a file.
    pub fn of_trouble(to: impl Write + Send + 'static) -> Self {
        Self { to: Box::new(to), shows_lines: false }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.to.write_all(text.as_bytes())?;
        self.to.flush()
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("shows_lines", &self.shows_lines).finish_non_exhaustive()
    }
}

enum Message {
    Line(Vec<u8>),
    Close(SyncSender<()>),
}

/// Where lines are handed over.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
}

/// Keeps the log open. When it is closed or dropped, it waits until every line is written.
#[derive(Debug)]
pub struct LogGuard {
    lines: Lines,
    open: bool,
}

impl LogGuard {
    /// How the log does.
    pub fn health(&self) -> LogHealth {
        self.lines.shared.health()
    }

    /// What tells others how the log does, for as long as they like.
    pub fn watch(&self) -> LogWatch {
        LogWatch(Arc::clone(&self.lines.shared))
    }

    /// Waits until every line is written, for at most 10 seconds, and tells how the log did. What
    /// is logged afterwards is lost.
    pub fn close(mut self) -> LogHealth {
        self.wait();
        self.health()
    }

    fn wait(&mut self) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let (done, closed) = sync_channel(1);
        let mut message = Message::Close(done);
        let mut left = PATIENCE;
        while let Err(TrySendError::Full(again)) = self.lines.queue.try_send(message) {
            let Some(less) = left.checked_sub(PAUSE) else { return };
            left = less;
            message = again;
            std::thread::sleep(PAUSE);
        }
        // Without an answer the disk hangs, and no waiting would help; with none to come, all is done.
        _ = closed.recv_timeout(left);
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.wait();
    }
}

impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Message::Line(line.to_vec())).is_err() {
            self.shared.lost.fetch_add(1, Ordering::SeqCst);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Lines;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

pub(super) fn start(
    file: Option<LogFile>,
    terminal: Option<Terminal>,
    format: LogFormat,
    clock: Arc<dyn Clock>,
) -> Result<(Lines, LogGuard)> {
    let (queue, messages) = sync_channel(QUEUE);
    let shared = Arc::new(Shared::default());
    let desk = Desk { file, terminal, format, clock, shared: shared.clone(), told: 0 };
    std::thread::Builder::new().name("kronos-log".to_owned()).spawn(move || desk.run(&messages)).map_err(|e| {
        Error::new(ErrorKind::Internal, "the thread that writes the log could not be started").with_source(e)
    })?;
    let lines = Lines { queue, shared };
    Ok((lines.clone(), LogGuard { lines, open: true }))
}

/// What the thread has.
struct Desk {
    file: Option<LogFile>,
    terminal: Option<Terminal>,
    format: LogFormat,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    /// How many lost lines the log has been told of.
    told: u64,
}

impl Desk {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            match message {
                Message::Line(line) => self.line(&line),
                Message::Close(done) => {
                    // Lines that found the queue full have none behind them that would tell of it.
                    self.tell_lost();
                    _ = done.send(());
                    return;
                }
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        self.tell_lost();
        let text = mask(&String::from_utf8_lossy(line));
        // A text with line breaks must not look like several lines.
        let text = text.trim_end_matches('\n').replace('\n', "\\n").replace('\r', "\\r") + "\n";
        if self.terminal.as_ref().is_some_and(|terminal| terminal.shows_lines) {
            self.show(&text);
        }
        self.store(&text);
    }

    fn show(&mut self, text: &str) {
        // There is nobody else to be told that nobody listens.
        if self.terminal.as_mut().is_some_and(|terminal| terminal.write(text).is_err()) {
            self.terminal = None;
        }
    }

    fn store(&mut self, text: &str) {
        let Some(file) = &mut self.file else { return };
        let (written, aside) = file.write(text.as_bytes());
        let error = match (&written, &aside) {
            (Err(e), _) => Some(format!("the log's file could not be written: {e}")),
            (_, Err(e)) => Some(format!("the log's file could not be put aside: {e}")),
            _ => None,
        };
        if written.is_err() {
            self.shared.lost.fetch_add(1, Ordering::SeqCst);
        }
        if self.shared.set(error.clone())
            && let Some(error) = error
        {
            let line = self.own_line("log.failed", &error);
            self.show(&line);
        }
    }

    /// Says in the log that lines are missing, once it can be written.
    fn tell_lost(&mut self) {
        let lost = self.shared.lost.load(Ordering::SeqCst);
        if lost == self.told {
            return;
        }
        let line = self.own_line("log.lost", &format!("{} lines of the log could not be written", lost - self.told));
        let written = self.file.as_mut().is_none_or(|file| file.write(line.as_bytes()).0.is_ok());
        if written {
            self.told = lost;
            self.show(&line);
        }
    }

    fn own_line(&self, event: &str, message: &str) -> String {
        let time = self.clock.now();
        match self.format {
            LogFormat::Text => format!("{time}  WARN kronos::log: {message} event=\"{event}\"\n"),
            LogFormat::Json => {
                let time = time.to_string();
                let line = serde_json::json!({
                    "timestamp": time, "level": "WARN", "message": message, "event": event, "target": "kronos::log",
                });
                format!("{line}\n")
            }
        }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("file", &self.file).field("told", &self.told).finish_non_exhaustive()
    }
}
