//! `kronos show`: one backup with its streams.

use std::fmt::Write;

use clap::Args;
use kronos_core::{BackupDetails, BackupInfo, Result, StreamSummary};

use super::list::state;
use crate::app::App;
use crate::args::From;
use crate::errors::Exit;
use crate::output::table;
use crate::units;

#[derive(Args)]
pub(crate) struct ShowArgs {
    /// An id, the beginning of one, latest, latest~2, or a time; JOB/… with several jobs
    backup: String,
    #[command(flatten)]
    from: From,
}

pub(crate) async fn run(app: &App, args: &ShowArgs) -> Result<Exit> {
    let repository = app.open_from(&args.from).await?;
    let backup = kronos_core::find_backup(&repository, &args.backup, &app.run).await?;
    let details = kronos_core::show(&repository, &backup, &app.run).await?;
    app.out.result("show", &details, || text(&details))?;
    Ok(Exit::Done)
}

fn text(details: &BackupDetails) -> String {
    let packs = format!("{} in {}", units::bytes(details.packs_bytes), units::count(details.packs, "pack"));
    let mut text = head(&details.info, Some(packs));
    text.push('\n');
    text.push_str(&streams(&details.streams));
    text
}

/// What is known of a backup, a line each.
pub(crate) fn head(b: &BackupInfo, needs: Option<String>) -> String {
    let tags: Vec<String> = b.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let some = |text: String| (!text.is_empty()).then_some(text);
    let lines = [
        ("backup", Some(b.id.to_string())),
        ("copy of", (b.origin.backup != b.id).then(|| b.origin.backup.to_string())),
        ("job", Some(b.job.clone())),
        ("engine", Some(format!("{} {}", b.engine, b.server_version.as_deref().unwrap_or_default()))),
        ("strategy", Some(b.kind.to_string())),
        ("compared with", b.parent.map(|p| p.to_string())),
        ("when", Some(units::time(b.started))),
        ("took", Some(units::duration(b.finished.since(b.started)))),
        ("size", Some(units::bytes(b.bytes))),
        ("read", Some(units::bytes(b.bytes_read))),
        ("stored", Some(units::bytes(b.bytes_stored))),
        ("needs", needs),
        ("rows", b.rows.map(|n| n.to_string())),
        ("position", b.position.clone()),
        ("tags", some(tags.join(" "))),
        ("state", some(state(b))),
    ];
    let mut text = String::new();
    for (name, value) in lines.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        let _ = writeln!(text, "{name:<14}{}", value.trim_end());
    }
    for warning in &b.warnings {
        let _ = writeln!(text, "{:<14}{warning}", "note");
    }
    text
}

/// The streams as a table.
pub(crate) fn streams(streams: &[StreamSummary]) -> String {
    let row = |s: &StreamSummary| {
        vec![s.name.clone(), units::bytes(s.bytes), s.rows.map_or_else(String::new, |n| n.to_string())]
    };
    table(&["NAME", ">SIZE", ">ROWS"], &streams.iter().map(row).collect::<Vec<_>>())
}
