//! A backup by the server's own program: one run for all databases, and so one moment; one stream of
//! what it writes. Users and rights are read as always.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use kronos_core::{DumpRequest, Error, ErrorKind, Event, Outline, Phase, Result, RunContext, StreamSender};
use tokio::io::AsyncReadExt;

use super::begin::Begun;
use super::catalog::{self, Versions};
use super::connect::Session;
use super::error::{has_code, internal};
use super::globals;
use super::guard::Guard;
use super::names::{ident, literal, qualified, shown};
use super::place::Place;
use super::plan::{Content, Dumped, is_excluded};
use super::preflight::Rights;
use super::reading::{Common, Definitions, Reading, Task};
use super::sections::Sections;
use super::settings::MysqlSettings;
use super::tools::{Tool, Use, find};
use super::workers::Workers;

/// What a program writes is handed on in pieces of this size.
const PIECE: usize = 256 << 10;
/// The position stands in the first bytes, before any name or value.
const HEAD: usize = 8 << 10;

/// What every dump is made with. The rest of the options says the same to each family in its words.
const OPTIONS: [&str; 12] = [
    "--single-transaction",
    "--quick",
    "--routines",
    "--triggers",
    "--events",
    "--hex-blob",
    "--tz-utc",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1G",
    // The same database gives the same bytes.
    "--skip-dump-date",
    // The tables are nobody else's when they are loaded; and MariaDB could not read a sequence then.
    "--skip-add-locks",
    // It is loaded where there is nothing. Should it get elsewhere, nothing is lost there.
    "--skip-add-drop-table",
];

/// A program whose output is a stream.
#[derive(Debug)]
pub(super) struct Program {
    tool: Tool,
    arguments: Vec<String>,
    databases: Vec<Dumped>,
    /// It tells the position.
    has_position: bool,
}

pub(super) async fn begin(
    settings: &MysqlSettings,
    request: &DumpRequest,
    run: &RunContext,
    chosen: Vec<String>,
    mut notices: Vec<String>,
) -> Result<Begun> {
    let mut session = settings.open().await?;
    let tool = find(settings, session.server, Use::Dump).await?;
    notices.push(format!("{} {} ({})", tool.name, tool.version, tool.path.display()));
    let (lines, mut warnings) = globals::read(&mut session).await?;
    let mut arguments: Vec<String> = OPTIONS.iter().map(|option| (*option).to_owned()).collect();
    if !session.server.is_mariadb {
        // Whoever restores a copy has transactions of his own.
        arguments.extend(["--set-gtid-purged=OFF".to_owned(), "--no-tablespaces".to_owned()]);
        if tool.knows("--init-command").await {
            arguments.push(format!(
                "--init-command=SET SESSION lock_wait_timeout = {}",
                settings.lock_timeout.as_secs().max(1)
            ));
        }
    }
    let reason = without_position(&mut session).await?;
    let has_position = reason.is_none();
    match reason {
        None if session.server.is_mariadb => arguments.push("--master-data=2".to_owned()),
        None => {
            let option = if tool.knows("--source-data").await { "--source-data=2" } else { "--master-data=2" };
            arguments.push(option.to_owned());
        }
        Some(reason) => warnings.push(format!("the backup has no position in the binary log: {reason}")),
    }
    let mut looked =
        Looked { settings, request, tool: &tool, arguments, warnings, size: 0, has_history: false, has_numbers: false };
    for database in &chosen {
        looked.at(&mut session, database).await?;
    }
    let Looked { mut arguments, warnings, size, has_history, has_numbers, .. } = looked;
    if has_history && !has_numbers && tool.knows("--dump-history").await {
        arguments.push("--dump-history".to_owned());
    }
    let mut databases = Vec::new();
    for name in chosen {
        let (_, create): (String, String) =
            session.row("ask for a definition", &format!("SHOW CREATE DATABASE {}", ident(&name))).await?;
        let sql = format!(
            "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = {}",
            literal(&name)
        );
        let collation = session.value("ask for the database's collation", &sql).await?;
        databases.push(Dumped { name, create, collation });
    }
    if databases.len() > 1 {
        arguments.push("--databases".to_owned());
    }
    // Whatever follows is a name.
    arguments.push("--".to_owned());
    arguments.extend(databases.iter().map(|database| database.name.clone()));

    let (major, minor, patch) = session.server.version;
    let content = Content::Dump {
        databases: databases.clone(),
        flavor: session.server.name().to_owned(),
        version: format!("{major}.{minor}.{patch}"),
    };
    let name = match databases.as_slice() {
        [one] => format!("{}/dump", shown(&one.name)),
        _ => "dump".to_owned(),
    };
    let users = Content::Globals { server: settings.databases.is_empty() };
    let users = users.stream("globals".to_owned(), Phase::Before, Some(lines.len() as u64))?;
    let streams = vec![users, content.stream(name, Phase::Data, Some(size))?];
    let outline = Outline { streams, server_version: Some(session.server.shown()), warnings };
    session.close().await;
    let common = Arc::new(Common {
        settings: settings.clone(),
        run: run.clone(),
        workers: Workers::new(Vec::new()),
        guard: Guard::keep(None),
        definitions: Definitions::new(),
        position: OnceLock::new(),
    });
    let program = Program { tool, arguments, databases, has_position };
    let tasks = [Task::Ready(Bytes::from(lines)), Task::Program(program)];
    let readings = tasks.into_iter().map(|task| Reading { dump: common.clone(), task }).collect();
    Ok(Begun { outline, common, readings, position: None, notices })
}

/// Why the program cannot tell the position; nothing when it can.
async fn without_position(session: &mut Session) -> Result<Option<String>> {
    match Place::now(session).await {
        Ok(Some(_)) => {}
        Ok(None) => return Ok(Some("the server keeps no binary log (log_bin)".to_owned())),
        Err(error) if has_code(&error, &[1227, 1381]) => {
            let right = if session.server.is_mariadb { "BINLOG MONITOR" } else { "REPLICATION CLIENT" };
            return Ok(Some(format!("GRANT {right} ON *.*")));
        }
        Err(error) => return Err(error),
    }
    if session.server.is_mariadb {
        return Ok(None);
    }
    // Its program holds commits back for it.
    let rights = Rights::of(session).await?;
    let may = rights.has("RELOAD", None) || rights.has("FLUSH_TABLES", None);
    Ok((!may).then(|| "GRANT RELOAD ON *.*".to_owned()))
}

/// What is seen of the databases beforehand.
struct Looked<'a> {
    settings: &'a MysqlSettings,
    request: &'a DumpRequest,
    tool: &'a Tool,
    arguments: Vec<String>,
    warnings: Vec<String>,
    size: u64,
    has_history: bool,
    /// It has tables that keep their past by numbers of transactions.
    has_numbers: bool,
}

impl Looked<'_> {
    async fn at(&mut self, session: &mut Session, database: &str) -> Result<()> {
        let mut still = Vec::new();
        for table in catalog::tables(session, database).await? {
            self.size += table.size;
            self.has_history |= matches!(table.versions, Some(Versions::Times(..)));
            self.has_numbers |= matches!(table.versions, Some(Versions::Transactions));
            if is_excluded(&self.request.exclude, database, &table.name) {
                self.leave_out(database, &table.name).await?;
            } else if !table.is_transactional && table.has_rows() {
                still.push(format!("{} ({})", shown(&table.name), table.engine.as_deref().unwrap_or("no engine")));
            }
        }
        if still.is_empty() {
            return Ok(());
        }
        let names = still.join(", ");
        if self.settings.strict {
            return Err(Error::new(ErrorKind::Unsupported, "no snapshot can hold these tables still")
                .with("tables", names)
                .with("hint", "ALTER TABLE … ENGINE = InnoDB; or go without `strict`"));
        }
        self.warnings.push(format!(
            "{}: no snapshot can hold these tables still, and their rows may be newer than the rest: {names}",
            shown(database)
        ));
        Ok(())
    }

    async fn leave_out(&mut self, database: &str, table: &str) -> Result<()> {
        let name = qualified(database, table);
        // A dot ends the name of the database there, and nothing else does.
        if database.contains('.') || !self.tool.knows("--ignore-table-data").await {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the server's program cannot leave out the rows of a table",
            )
            .with("program", self.tool.name)
            .with("table", name)
            .with("hint", "`method = \"native\"` can"));
        }
        self.arguments.push(format!("--ignore-table-data={database}.{table}"));
        self.warnings.push(format!("the rows of {name} are left out, as asked for"));
        Ok(())
    }
}

impl Reading {
    /// Sends what a program writes. Only if it ended well and wrote its last line, the stream does; and
    /// only if a restore will understand it.
    pub(super) async fn program(&self, program: &Program, sender: &mut StreamSender) -> Result<()> {
        let settings = &self.dump.settings;
        let (mut command, file) = program.tool.command(settings)?;
        command.args(&program.arguments);
        let mut running = program.tool.start(command, file, settings)?;
        let mut output = running.child.stdout.take().ok_or_else(|| internal("a program without an output"))?;
        let mut sections = Sections::new(&program.databases, program.databases.len() > 1);
        let mut piece = BytesMut::with_capacity(PIECE);
        let mut is_first = true;
        let broken = |e| Error::new(ErrorKind::Io, "a program's output could not be read").with_source(e);
        while settings.while_reached(output.read_buf(&mut piece)).await?.map_err(broken)? > 0 {
            if piece.len() == piece.capacity() {
                let full = std::mem::replace(&mut piece, BytesMut::with_capacity(PIECE)).freeze();
                if std::mem::take(&mut is_first) {
                    self.position(program, &full).await?;
                }
                sections.push(&full)?;
                sender.send(full).await?;
            }
        }
        for line in settings.while_reached(running.ended()).await?? {
            self.dump.run.emit(&Event::Notice { message: format!("{}: {line}", program.tool.name) });
        }
        sections.push(&piece)?;
        sections.end().map_err(|e| e.with("program", program.tool.name))?;
        if is_first {
            self.position(program, &piece).await?;
        }
        if piece.is_empty() { Ok(()) } else { sender.send(piece.freeze()).await }
    }

    async fn position(&self, program: &Program, head: &[u8]) -> Result<()> {
        if !program.has_position {
            return Ok(());
        }
        let file = position(&String::from_utf8_lossy(&head[..head.len().min(HEAD)]));
        let file = file.ok_or_else(|| {
            Error::new(ErrorKind::ToolFailed, "a program did not tell the position in the binary log")
                .with("program", program.tool.name)
        })?;
        let mut place = Place { file: Some(file), gtid: None };
        if program.tool.is_mariadb {
            let mut session = self.dump.settings.open().await?;
            place = place.complete(&mut session).await?;
            session.close().await;
        }
        // Nobody else sets it.
        let _ = self.dump.position.set(place.to_string());
        Ok(())
    }
}

/// File and offset in `-- CHANGE MASTER TO MASTER_LOG_FILE='binlog.000001', MASTER_LOG_POS=2525;`.
fn position(head: &str) -> Option<(String, u64)> {
    let is_it = |line: &&str| line.starts_with("-- CHANGE ") && line.contains("_LOG_FILE='");
    let line = head.lines().find(is_it)?;
    let (file, rest) = line.split_once("_LOG_FILE='")?.1.split_once("', ")?;
    let offset = rest.split_once("_LOG_POS=")?.1.trim_end_matches(';');
    Some((file.to_owned(), offset.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_is_read_as_each_family_writes_it() {
        let mariadb = "-- x\n-- CHANGE MASTER TO MASTER_LOG_FILE='binlog.000001', MASTER_LOG_POS=2525;\n\n";
        assert_eq!(position(mariadb), Some(("binlog.000001".into(), 2525)));
        let mysql = "-- CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='b.2', SOURCE_LOG_POS=4;\n";
        assert_eq!(position(mysql), Some(("b.2".into(), 4)));
        assert_eq!(position("-- CHANGE MASTER TO MASTER_USE_GTID=slave_pos;\n"), None);
    }
}
