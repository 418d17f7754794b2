//! `kronos validate`: the configuration, then each source and each storage, then all else that it
//! needs of this machine.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use kronos_core::inspect::HealthStatus;
use kronos_core::{ConditionalPut, ConnectionReport, ConnectionStatus, Connector, Error, ErrorKind, Result};
use kronos_service::schedule::Schedule;
use kronos_service::{Finding, JobSource, Surroundings};
use serde::Serialize;

use crate::app::App;
use crate::config::{self, variable};
use crate::errors::{Exit, hint, line};
use crate::source::Source;
use crate::state;

#[derive(Args)]
pub(crate) struct ValidateArgs {
    /// Look at the configuration and this machine only; touch neither sources nor storages
    #[arg(long)]
    offline: bool,
}

#[derive(Serialize)]
struct Validated {
    /// The strongest of the files.
    file: String,
    /// All files, the strongest last.
    files: Vec<String>,
    offline: bool,
    findings: Vec<Finding>,
    warnings: Vec<String>,
    problems: usize,
}

pub(crate) async fn run(app: &App, args: &ValidateArgs) -> Result<Exit> {
    let files: Vec<String> = app.config.files.iter().map(|file| file.display().to_string()).collect();
    let Some(file) = files.last().cloned() else {
        return Err(Error::new(ErrorKind::NotFound, "no configuration was found")
            .with("hint", "write ./kronos.toml, which `kronos generate` begins, or name a file with --config"));
    };
    let mut findings = Vec::new();
    if app.config.encryption.is_some() {
        let mut finding = Finding::new("encryption", "");
        finding.problems.extend(app.keys().err().map(|e| told(&e)));
        findings.push(finding);
    }
    for name in app.config.jobs.keys() {
        findings.push(job(app, name, args.offline).await);
    }
    findings.extend(unused(app, args.offline).await);
    for name in app.config.storages.keys() {
        findings.push(storage(app, name, args.offline).await);
    }
    findings.extend(app.config.notify.keys().map(|name| notify(app, name)));
    let path = variable("PATH").unwrap_or_default();
    let state = match (&app.config.daemon.state, state::default_state()) {
        (Some(_), _) => None,
        (None, Ok(state)) => Some(state),
        (None, Err(e)) => {
            findings.push(Finding { problems: vec![told(&e)], ..Finding::new("state", "") });
            None
        }
    };
    let surroundings = Surroundings { path: std::env::split_paths(&path).collect(), state, offline: args.offline };
    findings.extend(surroundings.check(&app.config));
    for warning in &app.config.warnings {
        app.warn(warning);
    }
    let problems = findings.iter().map(|f| f.problems.len()).sum();
    let warnings = app.config.warnings.clone();
    let validated = Validated { file, files, offline: args.offline, findings, warnings, problems };
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
    let mut finding = Finding::new("job", name);
    let job = &app.config.jobs[name];
    if job.storages.is_empty() {
        finding.problems.push("the configuration has no storage to back it up to".to_owned());
    }
    source(app, config::source(&app.config, job), offline, &mut finding).await;
    match job.schedule.as_ref().map(Schedule::new) {
        Some(Ok(schedule)) => {
            let first = schedule.next_due(app.run.clock.now());
            let times = std::iter::successors(first, |due| schedule.next_due(*due)).take(3);
            let times: Vec<String> = times.map(crate::units::time).collect();
            let next = if times.is_empty() { "never due".to_owned() } else { format!("next due {}", times.join(", ")) };
            finding.details.push(next);
        }
        Some(Err(e)) => finding.problems.push(told(&e)),
        None => {}
    }
    finding
}

/// Databases that no job backs up: they may be there to be looked into.
async fn unused(app: &App, offline: bool) -> Vec<Finding> {
    let used: BTreeSet<&str> = (app.config.jobs.values())
        .filter_map(|job| match &job.source {
            JobSource::Database(name) => Some(name.as_str()),
            JobSource::Url(_) => None,
        })
        .collect();
    let mut findings = Vec::new();
    for name in app.config.databases.keys().filter(|name| !used.contains(name.as_str())) {
        let mut finding = Finding::new("database", name);
        source(app, config::named_source(&app.config, name), offline, &mut finding).await;
        findings.push(finding);
    }
    findings
}

async fn source(app: &App, found: Result<Source>, offline: bool, finding: &mut Finding) {
    let connected = found.and_then(|source| Ok((source.clone().connect(&app.registry)?, source)));
    let (connector, source) = match connected {
        Ok(connected) => connected,
        Err(e) => {
            finding.problems.push(told(&e));
            return;
        }
    };
    finding.details.push(connector.describe());
    if offline {
        return;
    }
    match connector.test_connection().await {
        Ok(report) => {
            connection(&report, finding);
            if report.status == ConnectionStatus::Connected {
                preflight(&*connector, finding).await;
                health(app, source, finding).await;
            }
        }
        Err(e) => finding.problems.push(told(&e)),
    }
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

/// How the database does for those who look into it, where this build can.
async fn health(app: &App, source: Source, finding: &mut Finding) {
    let pool = match config::pool(&app.config) {
        Ok(pool) => pool,
        Err(e) => return finding.problems.push(told(&e)),
    };
    let database = match source.database(&app.registry, &pool) {
        Ok(database) => database,
        Err(e) if matches!(e.kind(), ErrorKind::Unsupported) => return,
        // An engine that cannot be looked into can still be backed up.
        Err(e) if e.message().starts_with("unknown engine") => return,
        Err(e) => return finding.problems.push(told(&e)),
    };
    let health = database.health().await;
    database.close().await;
    let reason = health.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    match health.status {
        HealthStatus::Healthy => finding.details.push("healthy".to_owned()),
        HealthStatus::Degraded => finding.details.push(format!("slow to look into{reason}")),
        HealthStatus::Unhealthy => finding.problems.push(format!("cannot be looked into{reason}")),
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

async fn storage(app: &App, name: &str, offline: bool) -> Finding {
    let mut finding = Finding::new("storage", name);
    let place = match app.storage_url(Some(name), "--to").and_then(|url| app.place(&url)) {
        Ok(place) => place,
        Err(e) => {
            finding.problems.push(told(&e));
            return finding;
        }
    };
    finding.details.push(place.name.clone());
    if offline {
        return finding;
    }
    let is_there = match app.open_if_there(&place).await {
        Ok(there) => there.is_some(),
        Err(e) => {
            finding.problems.push(told(&e));
            return finding;
        }
    };
    let directory = place.directory().filter(|_| !is_there);
    let missing: Vec<PathBuf> = directory
        .iter()
        .flat_map(|directory| directory.ancestors())
        .take_while(|path| !path.exists())
        .map(Path::to_owned)
        .collect();
    let state = match (is_there, missing.is_empty()) {
        (true, _) => "the repository opens",
        (false, true) => "empty: the first backup makes a repository",
        (false, false) => "missing: the first backup makes the directory and a repository",
    };
    finding.details.push(state.to_owned());
    let probed = app.probe(&place).await;
    if let Some(directory) = directory {
        // What was made to try it goes again, as far as it is empty.
        for made in ["probe", "#staging"].map(|name| directory.join(name)).iter().chain(&missing) {
            let _ = std::fs::remove_dir(made);
        }
    }
    match probed {
        Ok(report) => {
            finding.details.push("objects can be written and read".to_owned());
            if !report.deletes {
                finding.details.push("objects cannot be deleted: a prune frees nothing".to_owned());
            }
            if report.conditional_put != ConditionalPut::Atomic {
                finding.details.push("several writers at a time are not safe there".to_owned());
            }
        }
        Err(e) => finding.problems.push(told(&e)),
    }
    finding
}

/// Whether messages could be sent; `kronos notify test` sends them.
fn notify(app: &App, name: &str) -> Finding {
    let mut finding = Finding::new("notify", name);
    match app.config.notify[name].channel(name, &variable).and_then(|channel| channel.check().map(|()| channel)) {
        Ok(channel) => {
            let ways: Vec<&str> = channel.ways.iter().map(kronos_service::notify::Way::name).collect();
            finding.details.push(format!("by {}", ways.join(", ")));
        }
        Err(e) => finding.problems.push(told(&e)),
    }
    finding
}

fn text(validated: &Validated) -> String {
    let mut text = String::new();
    for file in &validated.files {
        let _ = writeln!(text, "{file}: read");
    }
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
        0 if !validated.warnings.is_empty() => {
            writeln!(text, "no problems, {}", crate::units::count(validated.warnings.len() as u64, "warning"))
        }
        0 => writeln!(text, "no problems"),
        n => writeln!(text, "{}", crate::units::count(n, "problem")),
    };
    text
}
