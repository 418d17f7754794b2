//! What commands write into the audit log beside runs: who changed, copied, read or opened what.

use kronos_core::{Digest, Error, ErrorKind, Result};
use kronos_service::audit::{Action, Deed, Outcome};
use kronos_service::{in_full, line};

use crate::app::App;
use crate::args::Command;
use crate::errors::Exit;

impl Command {
    /// Whether it does what `kronos daemon` would do as well: it writes into the file of the log.
    pub(crate) fn is_run(&self) -> bool {
        matches!(self, Self::Backup(_) | Self::Restore(_) | Self::Prune(_) | Self::Schedule(_)) || self.deed().is_some()
    }

    /// What it does, unless it only looks, or tells of itself as a run.
    pub(crate) fn deed(&self) -> Option<Deed> {
        let deed = |action, subject: &str| Deed::new(action, subject, Outcome::Started);
        Some(match self {
            Self::Init(args) if !args.dry_run => deed(Action::Init, args.to.as_deref().unwrap_or_default()),
            Self::Forget(args) if !args.dry_run => deed(Action::Forget, &args.backups.join(" ")).from(&args.from),
            Self::Hold(args) if !args.dry_run => deed(Action::Hold, &args.backups.join(" ")).from(&args.from),
            Self::Release(args) if !args.dry_run => {
                deed(Action::Hold, &args.backups.join(" ")).with("command", "release").from(&args.from)
            }
            Self::Copy(args) if !args.dry_run => {
                deed(Action::Copy, args.job.as_deref().unwrap_or("all jobs")).with("to", &args.to).from(&args.from)
            }
            Self::Export(args) if !args.dry_run => {
                deed(Action::Export, &args.backup).with("target", &args.directory).from(&args.from)
            }
            Self::Key(command) => deed(Action::Key, command.changes()?),
            Self::Query(args) => {
                let mut deed = deed(Action::Query, &args.source).with("writes", args.write);
                // A statement may hold a secret; its digest tells which one it was.
                if let Some(statement) = args.statement.as_deref().filter(|statement| *statement != "-") {
                    deed = deed.with("statement", Digest::of(statement.as_bytes()));
                }
                args.table.iter().fold(deed, |deed, table| deed.with("table", table))
            }
            Self::Schedule(command) => {
                let (what, job) = command.changes()?;
                deed(Action::Schedule, &job).with("command", what)
            }
            _ => return None,
        })
    }
}

/// The storage that a deed is done to.
trait From {
    fn from(self, from: &crate::args::From) -> Self;
}

impl From for Deed {
    fn from(self, from: &crate::args::From) -> Self {
        match &from.from {
            Some(storage) => self.with("storage", storage),
            None => self,
        }
    }
}

/// Does what a command says, and writes down that it was done.
pub(crate) async fn written_down(
    app: &App,
    deed: Option<Deed>,
    work: impl Future<Output = Result<Exit>>,
) -> Result<Exit> {
    let Some(deed) = deed else { return work.await };
    app.deed(deed.clone()).await;
    let ended = work.await;
    app.deed(as_it_ended(deed, &ended)).await;
    ended
}

fn as_it_ended(deed: Deed, ended: &Result<Exit>) -> Deed {
    let outcome = match ended {
        Ok(Exit::Done | Exit::Warnings) => Outcome::Succeeded,
        Ok(Exit::Nothing) => Outcome::Nothing,
        Ok(Exit::Interrupted) => Outcome::Cancelled,
        Err(error) if error.kind() == ErrorKind::Cancelled => Outcome::Cancelled,
        Err(error) if is_refusal(error) => Outcome::Refused,
        Ok(_) | Err(_) => Outcome::Failed,
    };
    let deed = Deed { outcome, ..deed };
    match ended {
        Err(error) => deed.with("error", line(error)).with("error_kind", error.kind().name()),
        Ok(_) => deed,
    }
}

/// It was not tried: a rule, a permission or a missing confirmation was in the way.
fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidQuery)
}

impl App {
    /// Writes into the audit log, if there is one.
    pub(crate) async fn deed(&self, deed: Deed) {
        let Some(audit) = &self.watchers().audit else { return };
        if let Err(error) = audit.append_elsewhere(deed).await {
            self.warn(&format!("audit log: {}", in_full(&error)));
        }
    }
}
