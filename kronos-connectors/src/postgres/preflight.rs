//! What can be known before a backup: who may not read what, which program is missing, and what a
//! snapshot means to this server.

use std::path::Path;

use kronos_core::{Preflight, Result};

use super::catalog;
use super::connect::{Session, shown as version_shown};
use super::holder;
use super::names::shown;
use super::settings::{Method, PostgresSettings};
use super::tools::{USED, find};

/// Transactions that are older than this hold the server's cleaning back by themselves.
const OLD: &str = "1 hour";

pub(super) async fn preflight(settings: &PostgresSettings) -> Result<Preflight> {
    let mut found = Preflight::default();
    let (chosen, notices) = settings.chosen().await?;
    found.notes.extend(notices);
    for (place, database) in chosen.iter().enumerate() {
        let mut session = settings.open(database).await?;
        if place == 0 {
            programs(settings, session.version / 10_000, &mut found).await;
            found.notes.extend(server_notes(&mut session).await?);
        }
        let missing = in_database(&mut session, settings.method).await?;
        found.missing.extend(missing.into_iter().map(|line| format!("{}: {line}", shown(database))));
        session.close().await;
    }
    Ok(found)
}

async fn programs(settings: &PostgresSettings, major: u32, found: &mut Preflight) {
    for (program, _) in USED {
        match find(settings, program, major, major).await {
            Ok(tool) => found.notes.push(format!("{program} {} ({})", tool.version, tool.path.display())),
            Err(error) => {
                let hint = error.context("hint").unwrap_or_default();
                found.missing.push(format!("{program} {major} or newer: {hint}"));
            }
        }
    }
    if let Some(directory) = settings.spool_dir.as_deref().filter(|directory| !Path::new(directory).is_dir()) {
        found.missing.push(format!("the directory {} (`spool_dir`)", directory.display()));
    }
}

/// What the user may not read of a database.
async fn in_database(session: &mut Session, method: Method) -> Result<Vec<String>> {
    let (is_standby,): (bool,) =
        session.row("ask for the server's state", "SELECT pg_catalog.pg_is_in_recovery()").await?;
    let relations = catalog::relations(session).await?;
    let mut missing: Vec<String> = holder::refusals(&relations, is_standby).iter().map(told).collect();
    if let Some(objects) = catalog::unreadable_large_objects(session).await? {
        missing.push(format!("{objects} large objects cannot be read: GRANT SELECT ON LARGE OBJECT, or a superuser"));
    }
    // `pg_dump` also reads what has no rows, and asks for more than it reads.
    if method == Method::Tool && session.version < 140_000 && !missing.is_empty() {
        missing.push("by --method tool USAGE on every schema as well".to_owned());
    }
    Ok(missing)
}

fn told(error: &kronos_core::Error) -> String {
    let tables = error.context("tables").unwrap_or_default();
    format!("{} ({tables}): {}", error.message(), error.context("hint").unwrap_or_default())
}

/// What the server will make of a long snapshot, for people.
pub(super) async fn server_notes(session: &mut Session) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let (is_standby, delay, feedback): (bool, String, String) = session
        .row(
            "ask for the server's state",
            "SELECT pg_catalog.pg_is_in_recovery(), current_setting('max_standby_streaming_delay'), \
                current_setting('hot_standby_feedback')",
        )
        .await?;
    if is_standby {
        let cancels = if delay == "-1" {
            "it lets its replay wait for as long as the backup takes (max_standby_streaming_delay is -1)".to_owned()
        } else if feedback == "on" {
            format!(
                "hot_standby_feedback is on: the primary keeps what the backup still sees, and the backup may be \
                 cancelled after {delay} by what replay must do all the same (max_standby_streaming_delay)"
            )
        } else {
            format!(
                "it cancels a backup that holds its replay up for more than {delay} (max_standby_streaming_delay); \
                 hot_standby_feedback = on makes that rare"
            )
        };
        notes.push(format!("the server is a standby: unlogged tables have no rows there; {cancels}"));
    }
    let (old,): (i64,) = session
        .row(
            "look for old transactions",
            &format!(
                "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE pid <> pg_catalog.pg_backend_pid() \
                    AND backend_xmin IS NOT NULL AND xact_start < pg_catalog.now() - interval '{OLD}'"
            ),
        )
        .await?;
    if old > 0 {
        notes.push(format!(
            "{old} other transactions have been open for more than {OLD}: VACUUM cleans up nothing behind them"
        ));
    }
    // 17 has no such setting any more.
    let (threshold,): (Option<String>,) = session
        .row(
            "ask for the server's settings",
            "SELECT nullif(nullif(current_setting('old_snapshot_threshold', true), '-1'), '')",
        )
        .await?;
    if let Some(threshold) = threshold {
        notes.push(format!(
            "a backup that takes longer than {threshold} may fail (old_snapshot_threshold): PostgreSQL {} then cleans \
             up behind its snapshot",
            version_shown(session.version)
        ));
    }
    Ok(notes)
}
