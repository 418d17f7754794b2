//! One database that a restore makes: created beside what is there, filled, checked, and put in its
//! place by a rename.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kronos_core::{Error, ErrorKind, Result};
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::servers::program::Running;

use super::catalog;
use super::connect::Session;
use super::error::internal;
use super::names::{conninfo, ident, literal, shown};
use super::own_sql::{database_word, fit, renamed, take_option};
use super::settings::PostgresSettings;
use super::statements::{statements, words};
use super::target::{Planned, There};
use super::toc;
use super::tools::{Tool, judge};

/// Says that a database is the work of a restore that may have been killed.
const MARK: &str = "kronos: being restored";
/// Says that a database was replaced, and is about to be dropped.
const OLD: &str = "kronos: replaced by a restore";
/// How often sessions are ended that came back before the rename. Each waits up to 5 s for them.
const SWAPS: u32 = 10;
/// The longest name that the server keeps.
const LONGEST: usize = 63;

/// How a database gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It exists, and is empty.
    InPlace,
    /// It is made under another name and renamed at the end.
    Beside,
    /// The same, and one that exists is dropped then.
    Instead,
}

/// What of a backup is restored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wishes {
    pub owners: bool,
    pub privileges: bool,
    /// The version of the target.
    pub version: u32,
}

/// A database being made.
#[derive(Debug)]
pub(super) struct Building {
    pub planned: Planned,
    pub how: How,
    /// The name while it is being made.
    pub name: String,
    tool: Tool,
    wishes: Wishes,
    state: Mutex<State>,
}

/// A table whose rows are counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Table {
    /// Quoted for SQL.
    pub name: String,
    /// With those of its parts.
    pub is_partitioned: bool,
}

#[derive(Debug, Default)]
struct State {
    archive: Option<NamedTempFile>,
    /// The lines of what is wanted of the archive; all of it without.
    list: Option<NamedTempFile>,
    created: bool,
    /// The statement that takes the mark away, and puts what the backup says in its place.
    comment: Option<String>,
    /// Rows of each table.
    counts: BTreeMap<Table, u64>,
    warnings: Vec<String>,
}

impl Building {
    pub(super) fn new(planned: Planned, tool: Tool, wishes: Wishes, replace: bool, token: &str) -> Self {
        let how = match planned.there {
            There::Nothing => How::Beside,
            There::Empty if !replace => How::InPlace,
            There::Empty | There::Something(_) => How::Instead,
        };
        let name = if how == How::InPlace { planned.to.clone() } else { beside(&planned.to, token) };
        Self { planned, how, name, tool, wishes, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the archive of the schema.
    pub(super) fn keep_archive(&self, file: NamedTempFile) {
        self.state().archive = Some(file);
    }

    /// Notes rows that were written.
    pub(super) fn count(&self, table: Table, rows: u64) {
        *self.state().counts.entry(table).or_default() += rows;
    }

    /// Notes what the user should know.
    pub(super) fn warn(&self, warning: String) {
        self.state().warnings.push(warning);
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.state().warnings.clone()
    }

    fn archive(&self) -> Result<std::path::PathBuf> {
        let state = self.state();
        let archive = state.archive.as_ref().ok_or_else(|| internal("a database without a schema"))?;
        Ok(archive.path().to_owned())
    }

    /// Makes the database as it was made, empty.
    pub(super) async fn create(&self, settings: &PostgresSettings, session: &mut Session) -> Result<()> {
        if self.how == How::InPlace {
            return Ok(());
        }
        self.remove_remains(settings, session).await?;
        let archive = self.state().archive.as_ref().map(|file| file.path().to_owned());
        let mut sql = format!("CREATE DATABASE {} WITH TEMPLATE = template0", ident(&self.name));
        if let Some(archive) = archive {
            let own = self.own_statements(settings, &archive).await?;
            if let Some(statement) = own.iter().find(|s| words(s).first().is_some_and(|word| word.is("CREATE"))) {
                sql = self.creation(settings, statement);
            }
        }
        session.run("make the database", &sql).await.map_err(|e| e.with("database", shown(&self.planned.to)))?;
        self.state().created = true;
        Ok(())
    }

    /// Says that the database is not whole yet.
    pub(super) async fn mark(&self, session: &mut Session) -> Result<()> {
        self.remark(session, &self.name, MARK).await
    }

    /// The statement of the archive that makes the database, under the name that it has for now.
    fn creation(&self, settings: &PostgresSettings, statement: &str) -> String {
        let mut sql = renamed(statement, &self.name);
        if !settings.tablespaces {
            let _ = take_option(&mut sql, "TABLESPACE");
        }
        fit(&mut sql, self.wishes.version);
        sql
    }

    /// The statements of the archive about the database itself.
    async fn own_statements(&self, settings: &PostgresSettings, archive: &Path) -> Result<Vec<String>> {
        let mut command = self.restore(settings);
        command.args(["--create", "--section=pre-data", "--file=-"]).arg(archive);
        let script = output(&self.tool, &mut command).await?;
        let own = |statement: &&str| database_word(&words(statement)).is_some();
        Ok(statements(&script).into_iter().filter(own).map(str::to_owned).collect())
    }

    /// Settings, rights and comments of the database, once everything is in it.
    pub(super) async fn finish_settings(&self, settings: &PostgresSettings, session: &mut Session) -> Result<()> {
        let Some(archive) = self.state().archive.as_ref().map(|file| file.path().to_owned()) else { return Ok(()) };
        for statement in self.own_statements(settings, &archive).await? {
            let found = words(&statement);
            let is = |at: usize, word: &str| found.get(at).is_some_and(|found| found.is(word));
            let owner = is(0, "ALTER") && is(3, "OWNER");
            if is(0, "CREATE") || (owner && (self.how == How::InPlace || !self.wishes.owners)) {
                continue;
            }
            let statement = renamed(&statement, &self.name);
            if is(0, "COMMENT") && self.how != How::InPlace {
                self.state().comment = Some(statement);
            } else {
                session.run("set up the database", &statement).await?;
            }
        }
        Ok(())
    }

    /// Chooses what is wanted of the archive.
    pub(super) async fn choose(&self, settings: &PostgresSettings, tables: &BTreeSet<u32>) -> Result<()> {
        let mut command = self.restore(settings);
        command.args(["--list", "--verbose"]).arg(self.archive()?);
        let choice = toc::choose(&output(&self.tool, &mut command).await?, tables);
        let file = temporary(settings)?;
        std::fs::write(file.path(), &choice.list).map_err(|e| super::error::io(e, file.path()))?;
        let mut state = self.state();
        state.list = Some(file);
        let left = choice.left_out.iter().map(|text| format!("left out, as it needs what was not chosen: {text}"));
        state.warnings.extend(left);
        let empty =
            choice.empty.iter().map(|text| format!("without its rows, as only a view of it was chosen: {text}"));
        state.warnings.extend(empty);
        Ok(())
    }

    /// Restores a section of the schema; `jobs` things at a time.
    pub(super) async fn section(&self, settings: &PostgresSettings, section: &str, jobs: usize) -> Result<()> {
        let mut command = self.restore(settings);
        command.arg(format!("--section={section}")).arg(format!("--dbname={}", conninfo(&self.name)));
        if jobs > 1 {
            command.arg(format!("--jobs={jobs}"));
        }
        if let Some(list) = &self.state().list {
            command.arg("--use-list").arg(list.path());
        }
        command.arg(self.archive()?);
        let running = self.tool.start(&mut command)?;
        self.judge(running.ending().await?)
    }

    /// `pg_restore`, with what is wanted of it.
    pub(super) fn restore(&self, settings: &PostgresSettings) -> Command {
        let mut command = self.tool.command(settings);
        command.arg("--no-password");
        if !self.is_newer() {
            command.arg("--exit-on-error");
        }
        for (wanted, flag) in [
            (self.wishes.owners, "--no-owner"),
            (self.wishes.privileges, "--no-privileges"),
            (settings.tablespaces, "--no-tablespaces"),
        ] {
            if !wanted {
                command.arg(flag);
            }
        }
        command
    }

    pub(super) fn start(&self, command: &mut Command) -> Result<Running> {
        self.tool.start(command)
    }

    /// Whether the program sets a parameter that the server does not have yet.
    fn is_newer(&self) -> bool {
        self.tool.major >= 17 && self.wishes.version < 170_000
    }

    /// Whether `pg_restore` ended well.
    pub(super) fn judge(&self, ended: (std::process::ExitStatus, String)) -> Result<()> {
        judge(self.is_newer(), ended)
    }

    /// The tables and how many rows each must have now.
    pub(super) fn expected(&self) -> Vec<(Table, u64)> {
        self.state().counts.iter().map(|(table, rows)| (table.clone(), *rows)).collect()
    }

    /// Gives the database its name; what had it until then is dropped. Between the two there is no
    /// moment at which neither has it.
    pub(super) async fn put_in_place(
        &self,
        settings: &PostgresSettings,
        session: &mut Session,
        token: &str,
    ) -> Result<()> {
        let (to, name) = (ident(&self.planned.to), ident(&self.name));
        match self.how {
            How::InPlace => return Ok(()),
            How::Beside => {
                let both = format!("BEGIN; {}; ALTER DATABASE {name} RENAME TO {to}; COMMIT;", self.comment());
                session.run("rename the database", &both).await?;
                self.state().created = false;
                return Ok(());
            }
            How::Instead => {}
        }
        let old = beside(&self.planned.to, &format!("old_{token}"));
        self.swap(session, &old).await?;
        self.state().created = false;
        if let Err(error) = drop_database(settings, session, &old, "").await {
            self.warn(format!("the database that was replaced is still there as {}: {error}", shown(&old)));
        }
        Ok(())
    }

    /// What the database is said to be once it is whole.
    fn comment(&self) -> String {
        let comment = self.state().comment.clone();
        comment.unwrap_or_else(|| format!("COMMENT ON DATABASE {} IS NULL", ident(&self.name)))
    }

    /// A database in use cannot be renamed: its sessions are ended, and those who come again at once
    /// wait for the rename, which has the lock.
    async fn swap(&self, session: &mut Session, old: &str) -> Result<()> {
        let (to, name) = (ident(&self.planned.to), ident(&self.name));
        let end = format!(
            "SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity WHERE datname = {}",
            literal(&self.planned.to)
        );
        let both = format!(
            "BEGIN; COMMENT ON DATABASE {to} IS {}; {}; ALTER DATABASE {to} RENAME TO {}; ALTER DATABASE {name} RENAME TO {to}; COMMIT;",
            literal(OLD),
            self.comment(),
            ident(old)
        );
        let mut attempt = 1;
        loop {
            let _: (i64,) = session.row("end the sessions of the old database", &end).await?;
            match session.run("put the new database in place", &both).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    session.run("put the new database in place", "ROLLBACK").await?;
                    if error.kind() != ErrorKind::Locked || attempt == SWAPS {
                        return Err(error.with("hint", "programs must let go of the database that is to be replaced"));
                    }
                }
            }
            attempt += 1;
        }
    }

    /// Removes what was made, if it has not got its name.
    pub(super) async fn undo(&self, settings: &PostgresSettings, session: &mut Session) -> Result<()> {
        if !std::mem::take(&mut self.state().created) {
            return Ok(());
        }
        let force = if session.version >= 130_000 { " WITH (FORCE)" } else { "" };
        drop_database(settings, session, &self.name, force).await
    }

    /// Removes what restores to the same target have left that were killed: what bears a mark, and
    /// what had not got one yet and is empty.
    async fn remove_remains(&self, settings: &PostgresSettings, session: &mut Session) -> Result<()> {
        let sql = "SELECT d.datname::text, pg_catalog.shobj_description(d.oid, 'pg_database') FROM pg_catalog.pg_database d \
            WHERE d.datname LIKE '%\\_kronos\\_%' AND NOT d.datistemplate \
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid)";
        let rows: Vec<(String, Option<String>)> = session.rows("look for remains", sql).await?;
        for (name, mark) in rows.into_iter().filter(|(name, _)| is_beside(&self.planned.to, name)) {
            let is_remains = if let Some(mark) = mark.as_deref() {
                [MARK, OLD].contains(&mark)
            } else {
                let mut inside = settings.open(&name).await?;
                let objects = catalog::own_objects(&mut inside).await?;
                inside.close().await;
                objects.is_empty()
            };
            if is_remains && let Err(error) = drop_database(settings, session, &name, "").await {
                // Nobody needs its name.
                self.warn(format!("what an earlier restore left could not be dropped, {}: {error}", shown(&name)));
            }
        }
        Ok(())
    }

    async fn remark(&self, session: &mut Session, name: &str, text: &str) -> Result<()> {
        let sql = format!("COMMENT ON DATABASE {} IS {}", ident(name), literal(text));
        session.run("mark the database", &sql).await
    }

    /// What is half done, for an error.
    pub(super) fn remains(&self) -> Option<String> {
        (self.how == How::InPlace).then(|| {
            format!(
                "database {} existed, was empty, and now holds a part of the backup: drop and make it again",
                shown(&self.name)
            )
        })
    }
}

/// Drops a database that is not in its place. Its subscriptions are in the way: they go first, and
/// leave what they have on other servers to those that have taken their place.
async fn drop_database(settings: &PostgresSettings, session: &mut Session, name: &str, how: &str) -> Result<()> {
    let sql = format!("DROP DATABASE IF EXISTS {}{how}", ident(name));
    let done = session.run("drop a database", &sql).await;
    if done.as_ref().map_or_else(|e| e.context("sqlstate") != Some("55006"), |()| true) {
        return done;
    }
    let listed = format!(
        "SELECT subname::text FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid \
            WHERE d.datname = {}",
        literal(name)
    );
    // Only a superuser may look.
    let subscriptions: Vec<(String,)> = session.rows("look for subscriptions", &listed).await.unwrap_or_default();
    if subscriptions.is_empty() {
        return done;
    }
    let mut inside = settings.open(name).await?;
    for (subscription,) in subscriptions {
        let subscription = ident(&subscription);
        for what in [
            format!("ALTER SUBSCRIPTION {subscription} DISABLE"),
            format!("ALTER SUBSCRIPTION {subscription} SET (slot_name = NONE)"),
            format!("DROP SUBSCRIPTION {subscription}"),
        ] {
            inside.run("drop a subscription", &what).await?;
        }
    }
    inside.close().await;
    session.run("drop a database", &sql).await
}

/// A name for a database that is not in its place: the same beginning for the same target.
fn beside(target: &str, token: &str) -> String {
    let ending = format!("_kronos_{token}");
    let room = LONGEST - "_kronos_old_00000000".len();
    let end = target.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= room).last().unwrap_or(0);
    format!("{}{ending}", &target[..end])
}

/// Whether a name is one that a restore gives for a while.
fn is_beside(target: &str, name: &str) -> bool {
    let token = name.strip_prefix(&beside(target, ""));
    token.map(|token| token.strip_prefix("old_").unwrap_or(token)).is_some_and(|token| {
        token.len() == 8 && token.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// All that a program writes; for what is small.
async fn output(tool: &Tool, command: &mut Command) -> Result<String> {
    use tokio::io::AsyncReadExt;
    let mut running = tool.start(command)?;
    let mut text = Vec::new();
    let mut output = running.child.stdout.take().ok_or_else(|| internal("a program without an output"))?;
    output.read_to_end(&mut text).await.map_err(|e| {
        Error::new(ErrorKind::Io, "a program's output could not be read").with("program", tool.name).with_source(e)
    })?;
    running.ended().await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A file for a program, that nobody else reads.
pub(super) fn temporary(settings: &PostgresSettings) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("kronos-").suffix(".dump");
    match &settings.spool_dir {
        Some(directory) => builder.tempfile_in(directory).map_err(|e| super::error::io(e, directory)),
        None => builder.tempfile().map_err(|e| super::error::io(e, Path::new("the directory for temporary files"))),
    }
}

/// A name that no other restore has.
pub(super) fn token(run: &kronos_core::RunContext) -> String {
    let mut bytes = [0; 4];
    run.entropy.fill(&mut bytes);
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beside_fits_and_begins_alike() {
        let long = "ü".repeat(31);
        assert!(is_beside("shop", "shop_kronos_0123abcd") && is_beside("shop", "shop_kronos_old_0123abcd"));
        assert!(!is_beside("shop", "shop_kronos_mine") && !is_beside("shop", "shop_kronos_0123abcd_"));
        for target in ["shop", &long] {
            let (new, old) = (beside(target, "0123abcd"), beside(target, "old_0123abcd"));
            assert!(new.len() <= LONGEST && old.len() <= LONGEST);
            assert!(new.starts_with(&beside(target, "")) && old.starts_with(&beside(target, "")));
        }
    }
}
