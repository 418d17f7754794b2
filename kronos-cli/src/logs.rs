//! The log of this program: where a command writes it, and where the daemon does.

use std::sync::Arc;

use kronos_core::{Error, ErrorKind, Result, SystemClock};
use kronos_service::in_full;
use kronos_service::logs::{LogGuard, Terminal, open_logs};

use crate::app::App;
use crate::args::Command;
use crate::config::variable;

/// Opens the log, if anything is to be written to it. The daemon writes to the file of the
/// configuration, else to standard error. A command shows what it does by itself: it writes to the
/// file only, and what `RUST_LOG` asks for to standard error where there is no file. That a file cannot
/// be written stands on standard error, of both.
pub(crate) fn open(app: &App, command: &Command) -> Result<Option<LogGuard>> {
    let filter = variable("RUST_LOG").filter(|filter| !filter.is_empty());
    let is_daemon = matches!(command, Command::Daemon(_));
    let mut settings = app.config.log.clone();
    if !(is_daemon || command.is_run()) {
        settings.file = None;
    }
    if settings.file.is_none() && !is_daemon && filter.is_none() {
        return Ok(None);
    }
    let stderr = std::io::stderr();
    let terminal = if settings.file.is_none() { Terminal::of_lines(stderr) } else { Terminal::of_trouble(stderr) };
    let opened = open_logs(&settings, filter.as_deref(), Some(terminal), Arc::new(SystemClock));
    let (dispatch, guard) = match opened {
        Ok(opened) => opened,
        // Nobody misses a backup for want of a log.
        Err(error) if !is_daemon && error.kind() != ErrorKind::Config => {
            app.warn(&format!("log: {}", in_full(&error)));
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    tracing::dispatcher::set_global_default(dispatch)
        .map_err(|e| Error::new(ErrorKind::Internal, "the log was opened twice").with_source(e))?;
    app.log.get_or_init(|| guard.watch());
    Ok(Some(guard))
}
