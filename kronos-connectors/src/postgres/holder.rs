//! The snapshot of one database, and the session that holds it.

use kronos_core::{Error, ErrorKind, Result, RunContext};

use super::catalog::{self, Relation};
use super::connect::Session;
use super::settings::PostgresSettings;

/// How often a snapshot is taken again because tables were changed while they were locked.
const ATTEMPTS: u32 = 5;
/// Tables that are locked by one statement.
const LOCKS: usize = 500;
/// So many names are shown.
const SHOWN: usize = 5;

/// One database at one moment: nothing that was committed later is seen, and no table of it can be
/// changed or dropped.
#[derive(Debug)]
pub(super) struct Holder {
    pub database: String,
    pub session: Session,
    /// Its name on the server, for other sessions and for `pg_dump`.
    pub snapshot: String,
    pub relations: Vec<Relation>,
    pub encoding: String,
    pub is_standby: bool,
    /// The place in the server's log.
    pub position: String,
}

/// Begins a transaction that sees what the holder's sees.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl Holder {
    pub(super) async fn begin(settings: &PostgresSettings, database: &str, run: &RunContext) -> Result<Self> {
        let mut attempt = 1;
        loop {
            run.check_cancelled()?;
            match Self::attempt(settings, database).await.map_err(|e| e.with("database", database))? {
                Some(holder) => return Ok(holder),
                None if attempt == ATTEMPTS => {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        "tables are changed all the time while they are being locked",
                    )
                    .with("database", database)
                    .with("hint", "run it again when no ALTER TABLE, TRUNCATE or the like is at work"));
                }
                None => attempt += 1,
            }
        }
    }

    /// `None` when a table was dropped, emptied or written anew between the snapshot and its lock:
    /// the snapshot would see it empty, or not as it is described.
    async fn attempt(settings: &PostgresSettings, database: &str) -> Result<Option<Self>> {
        let mut session = settings.open(database).await?;
        session.run("begin the transaction", BEGIN).await?;
        let (snapshot, encoding, is_standby): (String, String, bool) = session
            .row(
                "take the snapshot",
                "SELECT pg_catalog.pg_export_snapshot(), pg_catalog.getdatabaseencoding()::text, pg_catalog.pg_is_in_recovery()",
            )
            .await?;
        let log = if is_standby { "pg_last_wal_replay_lsn" } else { "pg_current_wal_lsn" };
        let (position,): (String,) =
            session.row("ask for the position", &format!("SELECT coalesce(pg_catalog.{log}()::text, '')")).await?;
        let found = catalog::relations(&mut session).await?;
        let relations = usable(found, is_standby)?;
        let locked = lock(&mut session, &relations).await;
        if locked.as_ref().is_err_and(|e| e.context("sqlstate") == Some("42P01")) {
            session.close().await;
            return Ok(None);
        }
        locked?;
        let now = catalog::relations(&mut session).await?;
        if now.iter().any(|relation| relation.was_rewritten) {
            session.close().await;
            return Ok(None);
        }
        let database = database.to_owned();
        Ok(Some(Self { database, session, snapshot, relations, encoding, is_standby, position }))
    }
}

/// Refuses what could only be backed up in part.
fn usable(relations: Vec<Relation>, is_standby: bool) -> Result<Vec<Relation>> {
    match refusals(&relations, is_standby).into_iter().next() {
        Some(error) => Err(error),
        None => Ok(relations),
    }
}

/// Why a backup would lack something.
pub(super) fn refusals(relations: &[Relation], is_standby: bool) -> Vec<Error> {
    let mut errors = Vec::new();
    let readable = |r: &&Relation| (r.has_rows() && !(r.is_unlogged && is_standby)) || r.kind == "S";
    let names = |wrong: fn(&Relation) -> bool| {
        let names: Vec<String> = relations.iter().filter(readable).filter(|r| wrong(r)).map(Relation::shown).collect();
        let more = names.len().saturating_sub(SHOWN);
        let shown = names[..names.len() - more].join(", ");
        (!names.is_empty()).then(|| if more > 0 { format!("{shown} and {more} more") } else { shown })
    };
    if let Some(tables) = names(|r| !r.is_readable) {
        errors.push(Error::new(ErrorKind::PermissionDenied, "tables cannot be read").with("tables", tables).with(
            "hint",
            "GRANT pg_read_all_data TO the user (PostgreSQL 14 and newer), or SELECT on each and USAGE on its schema",
        ));
    }
    if let Some(tables) = names(|r| r.is_filtered) {
        let error = Error::new(ErrorKind::PermissionDenied, "row-level security would hide rows from the backup");
        let hint = "ALTER ROLE the user BYPASSRLS, or back up as the tables' owner";
        errors.push(error.with("tables", tables).with("hint", hint));
    }
    errors
}

/// So that nobody drops or changes them until the end. Reading and writing go on.
async fn lock(session: &mut Session, relations: &[Relation]) -> Result<()> {
    let tables: Vec<String> =
        relations.iter().filter(|r| r.kind == "r" || r.kind == "p").map(|r| format!("ONLY {}", r.sql())).collect();
    for some in tables.chunks(LOCKS) {
        let sql = format!("LOCK TABLE {} IN ACCESS SHARE MODE", some.join(", "));
        session.run("lock the tables", &sql).await?;
    }
    Ok(())
}
