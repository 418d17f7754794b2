//! `kronos validate`: the configuration, then each source and each storage.

use std::fmt::Write;

use clap::Args;
use kronos_core::{ConnectionReport, ConnectionStatus, Connector, Error, ErrorKind, Result};
use serde::Serialize;

use crate::app::App;
use crate::config;
use crate::errors::{Exit, hint, line};

#[derive(Args)]
pub(crate) struct ValidateArgs {
    /// Look at the configuration only; touch neither sources nor storages
    #[arg(long)]
    offline: bool,
}

/// One thing that was looked at.
#[derive(Serialize)]
struct Finding {
    /// `job`, `storage`, `encryption`.
    what: &'static str,
    name: String,
    /// What is wrong, one line each.
    problems: Vec<String>,
    /// What is well.
    details: Vec<String>,
}

#[derive(Serialize)]
struct Validated {
    file: String,
    offline: bool,
    findings: Vec<Finding>,
    warnings: Vec<String>,
    problems: usize,
}

pub(crate) async fn run(app: &App, args: &ValidateArgs) -> Result<Exit> {
    let Some(file) = &app.config.path else {
        return Err(Error::new(ErrorKind::NotFound, "no configuration was found")
            .with("hint", "write ./kronos.toml, or name a file with --config"));
    };
    let mut findings = Vec::new();
    if app.config.encryption.is_some() {
        let problems = app.keys().err().map(|e| told(&e)).into_iter().collect();
        findings.push(Finding { what: "encryption", name: String::new(), problems, details: Vec::new() });
    }
    for name in app.config.jobs.keys() {
        findings.push(job(app, name, args.offline).await);
    }
    for (name, storage) in &app.config.storages {
        findings.push(self::storage(app, name, &storage.url, args.offline).await);
    }
    for warning in &app.config.warnings {
        app.warn(warning);
    }
    let problems = findings.iter().map(|f| f.problems.len()).sum();
    let warnings = app.config.warnings.clone();
    let validated = Validated { file: file.display().to_string(), offline: args.offline, findings, warnings, problems };
    app.out.result("validate", &validated, || text(&validated))?;
    Ok(if problems == 0 { Exit::Done } else { Exit::Failed })
}

/// An error and its hint in one line.
fn told(error: &Error) -> String {
    match hint(error, "validate") {
        Some(hint) => format!("{}; {hint}", line(error)),
        None => line(error),
    }
}

async fn job(app: &App, name: &str, offline: bool) -> Finding {
    let mut finding = Finding { what: "job", name: name.to_owned(), problems: Vec::new(), details: Vec::new() };
    let job = &app.config.jobs[name];
    if job.storages.is_empty() {
        finding.problems.push("the configuration has no storage to back it up to".to_owned());
    }
    let connector = match config::source(&app.config, job).and_then(|source| source.connect(&app.registry)) {
        Ok(connector) => connector,
        Err(e) => {
            finding.problems.push(told(&e));
            return finding;
        }
    };
    finding.details.push(connector.describe());
    if !offline {
        match connector.test_connection().await {
            Ok(report) => {
                connection(&report, &mut finding);
                if report.status == ConnectionStatus::Connected {
                    preflight(&*connector, &mut finding).await;
                }
            }
            Err(e) => finding.problems.push(told(&e)),
        }
    }
    finding
}

async fn preflight(connector: &dyn Connector, finding: &mut Finding) {
    match connector.preflight().await {
        Ok(found) => {
            finding.problems.extend(found.missing.iter().map(|missing| format!("missing: {missing}")));
            finding.details.extend(found.notes);
        }
        Err(e) => finding.problems.push(told(&e)),
    }
}

fn connection(report: &ConnectionReport, finding: &mut Finding) {
    if report.status == ConnectionStatus::Connected {
        let version = report.version.as_deref().map(|v| format!(", version {v}")).unwrap_or_default();
        finding.details.push(format!("connected in {} ms{version}", report.latency.as_millis()));
    } else {
        finding.problems.push(report.message.clone().unwrap_or_else(|| "the connection failed".to_owned()));
    }
    finding.problems.extend(report.missing.iter().map(|missing| format!("missing: {missing}")));
}

async fn storage(app: &App, name: &str, url: &str, offline: bool) -> Finding {
    let mut finding = Finding { what: "storage", name: name.to_owned(), problems: Vec::new(), details: Vec::new() };
    let place = match app.place(url) {
        Ok(place) => place,
        Err(e) => {
            finding.problems.push(told(&e));
            return finding;
        }
    };
    finding.details.push(place.name.clone());
    if !offline {
        match app.open_if_there(&place).await {
            Ok(Some(_)) => finding.details.push("the repository opens".to_owned()),
            Ok(None) => finding.details.push("empty: the first backup makes a repository".to_owned()),
            Err(e) => finding.problems.push(told(&e)),
        }
    }
    finding
}

fn text(validated: &Validated) -> String {
    let mut text = format!("{}: read\n", validated.file);
    for finding in &validated.findings {
        let name = if finding.name.is_empty() { String::new() } else { format!(" {}", finding.name) };
        if finding.problems.is_empty() {
            let details = if finding.details.is_empty() { "good".to_owned() } else { finding.details.join(", ") };
            let _ = writeln!(text, "{}{name}: {details}", finding.what);
        }
        for problem in &finding.problems {
            let _ = writeln!(text, "problem: {}{name}: {problem}", finding.what);
        }
    }
    let _ = match validated.problems as u64 {
        0 => writeln!(text, "no problems"),
        n => writeln!(text, "{}", crate::units::count(n, "problem")),
    };
    text
}
