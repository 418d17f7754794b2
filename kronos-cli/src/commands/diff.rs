//! `kronos diff`: what changed between two backups of a job.

use clap::Args;
use kronos_core::{Change, DiffReport, Result, StreamDiff};

use crate::app::App;
use crate::args::From;
use crate::errors::Exit;
use crate::output::table;
use crate::units;

#[derive(Args)]
pub(crate) struct DiffArgs {
    /// The first backup: an id, the beginning of one, latest~1, a time
    before: String,
    /// The second backup
    after: String,
    #[command(flatten)]
    from: From,
}

pub(crate) async fn run(app: &App, args: &DiffArgs) -> Result<Exit> {
    let repository = app.open_from(&args.from).await?;
    let before = kronos_core::find_backup(&repository, &args.before, &app.run).await?;
    let after = kronos_core::find_backup(&repository, &args.after, &app.run).await?;
    let report = kronos_core::diff(&repository, &before, &after, &app.run).await?;
    app.out.result("diff", &report, || text(&report))?;
    Ok(Exit::Done)
}

fn text(report: &DiffReport) -> String {
    let same = units::count(report.unchanged, "stream");
    if report.changed.is_empty() {
        return format!("nothing changed ({same})");
    }
    let row = |s: &StreamDiff| {
        let change = match s.change {
            Change::Added => "added",
            Change::Removed => "removed",
            Change::Changed => "changed",
        };
        let rows = |n: Option<u64>| n.map_or_else(String::new, |n| n.to_string());
        vec![
            s.name.clone(),
            change.to_owned(),
            units::bytes(s.bytes_before),
            units::bytes(s.bytes_after),
            format!("+{}", units::bytes(s.bytes_new)),
            format!("-{}", units::bytes(s.bytes_gone)),
            rows(s.rows_before),
            rows(s.rows_after),
        ]
    };
    let heading = ["NAME", "CHANGE", ">BEFORE", ">AFTER", ">NEW", ">GONE", ">ROWS BEFORE", ">ROWS AFTER"];
    let rows: Vec<Vec<String>> = report.changed.iter().map(row).collect();
    format!("{}{same} unchanged\n", table(&heading, &rows))
}
