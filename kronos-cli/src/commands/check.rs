//! `kronos check`: whether everything in a repository is there, authentic, and fits the rest.

use std::fmt::Write;

use clap::Args;
use kronos_core::{CheckReport, ReadData, Result};

use crate::app::App;
use crate::args::From;
use crate::errors::Exit;
use crate::units;

#[derive(Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    from: From,
    /// Read every byte of the data as well
    #[arg(long, conflicts_with = "sample")]
    read_data: bool,
    /// Read this share of the data as well, chosen at random, such as 10%
    #[arg(long, value_name = "SHARE", value_parser = units::parse_share)]
    sample: Option<f64>,
}

pub(crate) async fn run(app: &App, args: &CheckArgs) -> Result<Exit> {
    let read = match (args.read_data, args.sample) {
        (true, _) => ReadData::All,
        (false, Some(share)) => ReadData::Sample(share),
        (false, None) => ReadData::No,
    };
    let repository = app.open_from(&args.from).await?;
    let report = kronos_core::check(&repository, read, &app.run).await?;
    app.out.result("check", &report, || text(&report, app.out.is_verbose()))?;
    Ok(if report.problems.is_empty() { Exit::Done } else { Exit::Damaged })
}

fn text(report: &CheckReport, verbose: bool) -> String {
    let mut text = String::new();
    for problem in &report.problems {
        let _ = writeln!(text, "problem: {}: {}", problem.object, problem.message);
    }
    for backup in &report.damaged_backups {
        let _ = writeln!(text, "damaged: backup {backup} cannot be restored whole");
    }
    if !report.damaged_backups.is_empty() {
        let _ = writeln!(
            text,
            "the next backup stores anew what is lost, and heals them as far as the source still has it"
        );
    }
    if verbose {
        for note in &report.notes {
            let _ = writeln!(text, "note: {}: {}", note.object, note.message);
        }
    }
    let checked = format!(
        "{}, {}, {}, {} read",
        units::count(report.jobs, "job"),
        units::count(report.backups, "backup"),
        units::count(report.objects, "object"),
        units::bytes(report.bytes_read),
    );
    let found = match report.problems.len() as u64 {
        0 => "no problems".to_owned(),
        n => units::count(n, "problem"),
    };
    let _ = writeln!(text, "{found} ({checked})");
    text
}
