//! `kronos schedule`: when jobs run, and what became of their last runs.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use kronos_core::{Error, ErrorKind, Id, Result, Timestamp};
use kronos_service::daemon::{Overview, ScheduledJob, overview, pause, resume, upcoming};
use kronos_service::store::{Outcome, RunRecord, RunState};
use kronos_service::{Ended, Operation, Trigger};
use serde::Serialize;

use super::backup::{self, BackupArgs};
use crate::app::App;
use crate::config;
use crate::errors::Exit;
use crate::output::table;
use crate::units;

#[derive(Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Show the jobs that have a schedule: when each runs next, and how its last run ended
    List(ListArgs),
    /// Show the next runs of all jobs
    Next(NextArgs),
    /// Run jobs now, beside the schedule
    Run(RunArgs),
    /// Let the daemon begin no more runs of jobs, until they are resumed
    Pause(JobsArgs),
    /// Let the daemon begin runs of jobs again; what was due meanwhile is not made up for
    Resume(JobsArgs),
}

#[derive(Args)]
pub(crate) struct ListArgs {
    /// Only these jobs
    jobs: Vec<String>,
}

#[derive(Args)]
pub(crate) struct NextArgs {
    /// Only these jobs
    jobs: Vec<String>,
    /// So many runs
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The jobs
    #[arg(required = true)]
    jobs: Vec<String>,
    /// When another run of a job goes on, wait so long for its end [default: do not wait]
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    wait: Option<Duration>,
}

#[derive(Args)]
pub(crate) struct JobsArgs {
    /// The jobs
    #[arg(required = true)]
    jobs: Vec<String>,
}

impl ScheduleCommand {
    /// What it changes, and of which jobs; a run tells of itself.
    pub(crate) fn changes(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Pause(args) => Some(("pause", args.jobs.join(" "))),
            Self::Resume(args) => Some(("resume", args.jobs.join(" "))),
            Self::List(_) | Self::Next(_) | Self::Run(_) => None,
        }
    }
}

pub(crate) async fn run(app: &Arc<App>, command: ScheduleCommand) -> Result<Exit> {
    match command {
        ScheduleCommand::List(args) => list(app, &args.jobs).await,
        ScheduleCommand::Next(args) => next(app, &args),
        ScheduleCommand::Run(args) => backup::run(app, &BackupArgs::of_jobs(args.jobs, args.wait)).await,
        ScheduleCommand::Pause(args) => change(app, &args.jobs, true).await,
        ScheduleCommand::Resume(args) => change(app, &args.jobs, false).await,
    }
}

/// The jobs named, or all that have a schedule.
fn scheduled(app: &App, names: &[String]) -> Result<Vec<ScheduledJob>> {
    let all = app.scheduled()?;
    if names.is_empty() {
        return Ok(all);
    }
    let mut chosen = Vec::new();
    for (name, _) in config::jobs(&app.config, names)? {
        let job = all.iter().find(|job| job.task.job == name).cloned();
        chosen.push(job.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the job has no schedule")
                .with("job", name)
                .with("hint", "give it one in the configuration, such as schedule = \"@daily\"")
        })?);
    }
    Ok(chosen)
}

/// One job, as `kronos.schedule/1` shows it.
#[derive(Serialize)]
struct Row {
    job: String,
    schedule: String,
    timezone: String,
    /// When it is due next, and when the run begins: later by its jitter, or by a blackout.
    next_due: Option<Timestamp>,
    begins: Option<Timestamp>,
    paused: Option<Timestamp>,
    running: Option<Run>,
    waiting: Option<Run>,
    last: Option<Run>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "they are named as in the JSON")]
struct Run {
    run: Id,
    trigger: Trigger,
    attempt: u32,
    due: Option<Timestamp>,
    /// When it was queued, began, or ended.
    at: Timestamp,
    /// Who runs it.
    by: Option<String>,
    /// How it ended.
    ended: Option<String>,
    error: Option<String>,
}

#[derive(Serialize)]
struct Scheduled {
    jobs: Vec<Row>,
}

async fn list(app: &App, names: &[String]) -> Result<Exit> {
    let jobs = scheduled(app, names)?;
    let store = app.job_store().await?;
    let rows = overview(&store, &jobs, app.run.clock.now()).await?;
    let scheduled = Scheduled { jobs: rows.into_iter().map(row).collect() };
    app.out.result("schedule", &scheduled, || text(&scheduled.jobs))?;
    Ok(if scheduled.jobs.is_empty() { Exit::Nothing } else { Exit::Done })
}

fn row(row: Overview) -> Row {
    Row {
        job: row.task.job,
        schedule: row.cron,
        timezone: row.timezone,
        next_due: row.next_due.filter(|_| row.paused.is_none()),
        begins: row.begins.filter(|_| row.paused.is_none()),
        paused: row.paused,
        running: row.running.as_ref().map(Run::of),
        waiting: row.queued.as_ref().map(Run::of),
        last: row.last.as_ref().map(Run::of),
    }
}

impl Run {
    fn of(record: &RunRecord) -> Self {
        let report = record.report();
        let error = report.and_then(|report| report.error.as_ref()).map(|error| error.message.clone());
        let (by, ended) = match &record.state {
            RunState::Running { owner, .. } => (Some(owner.name.clone()), None),
            RunState::Ended { outcome, .. } => (None, Some(ended(outcome))),
            RunState::Queued { .. } => (None, None),
        };
        Self {
            run: record.id,
            trigger: record.trigger,
            attempt: record.attempt,
            due: record.due,
            at: record.moment(),
            by,
            ended,
            error,
        }
    }
}

fn ended(outcome: &Outcome) -> String {
    let ended = match outcome {
        Outcome::Reported(report) => match report.ended {
            Ended::Succeeded => "succeeded",
            Ended::Warnings => "with warnings",
            Ended::Nothing => "nothing to do",
            Ended::Cancelled => "stopped",
            _ => "failed",
        },
        Outcome::Interrupted => "interrupted",
        Outcome::Dropped(why) => return why.to_string(),
    };
    ended.to_owned()
}

fn text(rows: &[Row]) -> String {
    let time = |at: Option<Timestamp>| at.map(units::time).unwrap_or_default();
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let next = match (&row.running, &row.waiting, row.paused) {
                (Some(run), _, _) => format!("runs since {}", units::time(run.at)),
                (_, Some(_), _) => "waits for its turn".to_owned(),
                (_, _, Some(since)) => format!("paused since {}", units::time(since)),
                _ => time(row.begins),
            };
            let last = row.last.as_ref();
            let ended = last.and_then(|run| run.ended.clone()).unwrap_or_else(|| "never".to_owned());
            vec![row.job.clone(), row.schedule.clone(), row.timezone.clone(), next, ended, time(last.map(|run| run.at))]
        })
        .collect();
    if rows.is_empty() {
        return "no job has a schedule".to_owned();
    }
    table(&["JOB", "SCHEDULE", "ZONE", "NEXT", "LAST", "AT"], &rows)
}

/// One run to come.
#[derive(Serialize)]
struct Coming {
    job: String,
    operation: Operation,
    due: Timestamp,
    begins: Timestamp,
}

#[derive(Serialize)]
struct Next {
    runs: Vec<Coming>,
}

fn next(app: &App, args: &NextArgs) -> Result<Exit> {
    let jobs = scheduled(app, &args.jobs)?;
    let coming = upcoming(&jobs, app.run.clock.now(), usize::from(args.count));
    let runs = coming.into_iter().map(|run| Coming {
        job: run.task.job,
        operation: run.task.operation,
        due: run.due,
        begins: run.begins,
    });
    let next = Next { runs: runs.collect() };
    app.out.result("schedule-next", &next, || {
        let rows: Vec<Vec<String>> =
            next.runs.iter().map(|run| vec![units::time(run.begins), run.job.clone()]).collect();
        if rows.is_empty() { "no job has a schedule".to_owned() } else { table(&["BEGINS", "JOB"], &rows) }
    })?;
    Ok(if next.runs.is_empty() { Exit::Nothing } else { Exit::Done })
}

#[derive(Serialize)]
struct Changed<'a> {
    jobs: &'a [String],
    paused: bool,
}

async fn change(app: &App, names: &[String], paused: bool) -> Result<Exit> {
    // All are known before the first is changed.
    let jobs = scheduled(app, names)?;
    let (store, now) = (app.job_store().await?, app.run.clock.now());
    for job in &jobs {
        if paused { pause(&store, job, now).await? } else { resume(&store, job, now).await? }
    }
    app.out.result("schedule-change", &Changed { jobs: names, paused }, || {
        let mut text = String::new();
        for name in names {
            let _ = writeln!(text, "{} {name}", if paused { "paused" } else { "resumed" });
        }
        text
    })?;
    Ok(Exit::Done)
}
