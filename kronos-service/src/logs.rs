//! The log: `tracing` as the configuration wants it. Every line of a run carries the run's id.
//!
//! ```
//! use std::sync::Arc;
//! use kronos_core::{Event, Id, Observer, SystemClock};
//! use kronos_service::logs::{LogObserver, LogSettings, open_logs, run_span};
//!
//! # let place = tempfile::tempdir().unwrap();
//! # let file = place.path().join("kronos.log");
//! let settings = LogSettings { file: Some(file.clone()), ..LogSettings::default() };
//! // The program passes its `RUST_LOG` and, where lines are to go there, its standard error.
//! let (dispatch, guard) = open_logs(&settings, None, None, Arc::new(SystemClock))?;
//! // A program calls `tracing::dispatcher::set_global_default(dispatch)` instead.
//! tracing::dispatcher::with_default(&dispatch, || {
//!     let observer = LogObserver::new(run_span(Id([7; 16]), "shop"), Arc::new(SystemClock));
//!     observer.on_event(&Event::Notice { message: "all is well".into() });
//! });
//! // To be called, or dropped, last: waits until every line is written.
//! let health = guard.close();
//! assert_eq!(health.lost, 0);
//! assert!(std::fs::read_to_string(file).unwrap().contains("id=07070707"));
//! # Ok::<(), kronos_core::Error>(())
//! ```

mod file;
mod follow;
mod observer;
mod report;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use kronos_core::{Clock, Error, ErrorKind, Id, Result};
use tracing::{Dispatch, Span};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use file::LogFile;
pub use follow::LogFollower;
pub use observer::LogObserver;
pub use report::log_report;
pub use writer::{LogGuard, LogHealth, LogWatch, Terminal};

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// When a file is put aside, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rotate {
    /// At midnight.
    #[default]
    Daily,
    /// At each full hour.
    Hourly,
    /// By others, or not at all. A file that somebody moved away is opened anew.
    Never,
}

/// What is logged, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// How a line looks. Default: text.
    pub format: LogFormat,
    /// The file; it has this name always, older ones get their time appended. Default: none.
    pub file: Option<PathBuf>,
    /// When it is put aside. Default: daily.
    pub rotate: Rotate,
    /// How many older files stay. Default: 14.
    pub keep: u32,
    /// `off`, `error`, `warn`, `info`, `debug` or `trace` for what Kronos says (of other libraries
    /// come errors only); or a filter as `RUST_LOG` has it. Default: `info`.
    pub level: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, file: None, rotate: Rotate::Daily, keep: 14, level: "info".to_owned() }
    }
}

/// Opens the log. `filter` is the value of `RUST_LOG`, which wins over the level of the settings;
/// the terminal gets every line too, or only what is wrong with the log, where one is given.
///
/// The guard is to be kept until the end: it waits for the last line.
pub fn open_logs(
    settings: &LogSettings,
    filter: Option<&str>,
    terminal: Option<Terminal>,
    clock: Arc<dyn Clock>,
) -> Result<(Dispatch, LogGuard)> {
    let filter = read_filter(filter.unwrap_or(&settings.level))?;
    let file = settings.file.as_ref();
    let file = file.map(|path| LogFile::open(path, settings.rotate, settings.keep, clock.clone())).transpose()?;
    let (lines, guard) = writer::start(file, terminal, settings.format, clock.clone())?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines).with_ansi(false).with_timer(Timer(clock));
    let dispatch = match settings.format {
        LogFormat::Text => builder.into(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).into(),
    };
    Ok((dispatch, guard))
}

/// The span of a run: whatever is said within it carries the run's id and its job.
pub fn run_span(run: Id, job: &str) -> Span {
    // An error's level, so that no filter takes the id from a line that it lets through.
    tracing::error_span!(target: SPAN, "run", id = %run, job)
}

const SPAN: &str = "kronos::span";
const TARGET: &str = "kronos::run";

fn read_filter(text: &str) -> Result<EnvFilter> {
    // Other libraries log statements and requests, which nobody wants in a log by default.
    let text = match text.trim().parse::<LevelFilter>() {
        Ok(level) if text.trim().parse::<u8>().is_err() => format!("error,kronos={level},{SPAN}=error"),
        _ => format!("{text},{SPAN}=error"),
    };
    EnvFilter::builder().parse(&text).map_err(|e| {
        Error::new(ErrorKind::Config, "not a level or filter of the log")
            .with("value", text.trim_end_matches(&format!(",{SPAN}=error")))
            .with("hint", "use off, error, warn, info, debug or trace, or a filter such as `warn,kronos=debug`")
            .with_source(e)
    })
}

#[derive(Debug)]
struct Timer(Arc<dyn Clock>);

impl FormatTime for Timer {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        write!(w, "{}", self.0.now())
    }
}
