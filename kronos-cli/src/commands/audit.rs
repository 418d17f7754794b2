//! `kronos audit verify`: whether the audit log is as it was written.

use std::fmt::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use kronos_core::{Error, ErrorKind, Result};
use kronos_service::audit::{AuditReport, Finding, Mark, verify_audit};

use crate::app::App;
use crate::errors::Exit;
use crate::units;

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Read the whole log, and name each line that was changed, removed, inserted or moved
    Verify(VerifyArgs),
}

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// The directory of the log [default: the configuration's]
    directory: Option<PathBuf>,
    /// An entry that must be there, as an earlier verification showed it; may be given several times
    #[arg(long, value_name = "SEQ:HASH")]
    known: Vec<Mark>,
}

pub(crate) async fn run(app: &App, command: &AuditCommand) -> Result<Exit> {
    let AuditCommand::Verify(args) = command;
    let directory = match &args.directory {
        Some(directory) => directory.clone(),
        None => app.audit_directory()?,
    };
    let (place, known) = (directory.clone(), args.known.clone());
    let report = tokio::task::spawn_blocking(move || verify_audit(&place, &known)).await;
    let report = report.map_err(|e| Error::new(ErrorKind::Internal, "the verification panicked").with_source(e))??;
    if report.entries == 0 && report.problems.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "there is no audit log").with("path", directory.display()));
    }
    app.out.result("audit", &report, || text(&report))?;
    Ok(if report.problems.is_empty() { Exit::Done } else { Exit::Damaged })
}

fn text(report: &AuditReport) -> String {
    let mut text = String::new();
    let mut tell = |what: &str, finding: &Finding| {
        let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
        let _ = writeln!(text, "{what}{}{line}: {}", finding.file.display(), finding.message);
    };
    report.notes.iter().for_each(|note| tell("", note));
    report.problems.iter().for_each(|problem| tell("problem: ", problem));
    let (lines, files) = (units::count(report.entries, "line"), units::count(report.files, "file"));
    let _ = writeln!(text, "{lines} in {files}, {}", units::count(report.problems.len() as u64, "problem"));
    if let Some(last) = &report.last {
        let _ = writeln!(text, "last entry: {last}");
    }
    text
}
