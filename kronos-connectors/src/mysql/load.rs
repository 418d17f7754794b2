//! A dump back into a server: the client loads tables and rows into the databases that are being
//! made; what else the dump makes gets its place together with them.

use std::sync::Mutex;

use kronos_core::{Error, Event, Piece as Received, Result, Stream, StreamEnd};
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;

use crate::servers::program::Running;

use super::building::Building;
use super::error::{corrupt, internal};
use super::names::shown;
use super::objects::{Kind, Object, Text};
use super::plan::Dumped;
use super::restore::MysqlRestore;
use super::sections::{Piece, Sections, choosing, for_database};
use super::settings::MysqlSettings;
use super::tools::{Tool, Use, find};
use crate::servers::restoring::same;

/// Set where it can be, so that nothing is refused or changed that a server has stored.
const PREPARE: &str = "SET SESSION wait_timeout = 604800, net_read_timeout = 604800, autocommit = 1";

/// What is known of a dump that is being loaded.
#[derive(Debug, Default)]
pub(super) struct Loaded(Mutex<Option<String>>);

impl Loaded {
    /// Which program loaded it, once it has.
    pub(super) fn by(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl MysqlRestore {
    /// Gives each database of a dump what makes it.
    pub(super) fn announce(&self, databases: &[Dumped]) -> Result<()> {
        for database in databases {
            // Of several, some may not be wanted.
            if let Ok(building) = self.building(&database.name) {
                building.keep_objects(vec![Object {
                    kind: Kind::Database,
                    name: database.name.clone(),
                    create: Text::Plain(database.create.clone()),
                    setting: None,
                    table: None,
                    next: None,
                }])?;
            }
        }
        Ok(())
    }

    /// Loads a dump.
    pub(super) async fn load(
        &self,
        databases: &[Dumped],
        is_mariadb: bool,
        mut stream: Stream,
        end: StreamEnd,
    ) -> Result<()> {
        let targets: Vec<Option<&Building>> =
            databases.iter().map(|database| self.building(&database.name).ok()).collect();
        let mut session = self.take().await?;
        let tool = find(&self.settings, session.server, Use::Load).await?;
        // Not every user may do these, and few servers need them.
        let mut wanted = vec!["sql_require_primary_key = OFF", "sql_generate_invisible_primary_key = OFF"];
        if session.server.is_mariadb {
            wanted = vec!["system_versioning_alter_history = KEEP", "check_constraint_checks = 0"];
        }
        let mut prepare = vec![PREPARE.to_owned()];
        for setting in wanted {
            let sql = format!("SET SESSION {setting}");
            if session.run("prepare the session", &sql).await.is_ok() {
                prepare.push(sql);
            }
        }
        self.give_back(session);
        if !self.settings.binlog {
            prepare.insert(0, "SET SESSION sql_log_bin = OFF".to_owned());
        }
        let mut sections = Sections::new(databases, databases.len() > 1);
        let mut client = self.client(&tool, &prepare.join(";\n"), is_mariadb).await?;
        let fed = async {
            loop {
                let pieces = match stream.next().await? {
                    Some(Received::Data(bytes)) => sections.push(&bytes)?,
                    Some(Received::End(found)) => {
                        same(found, end)?;
                        let last = sections.end()?;
                        client.feed(&targets, databases, last).await?;
                        return client.input.shutdown().await.map_err(Fed::Client);
                    }
                    None => return Err(internal("a stream was read after its end").into()),
                };
                client.feed(&targets, databases, pieces).await?;
            }
        };
        let fed: std::result::Result<(), Fed> = fed.await;
        let Client { running, input, .. } = client;
        drop(input);
        let named =
            |e: Error| e.with("database", databases.iter().map(|d| shown(&d.name)).collect::<Vec<_>>().join(", "));
        match fed {
            // Whatever it says, it has not got everything.
            Err(Fed::Stream(error)) => return Err(error),
            Err(Fed::Client(error)) => {
                self.settings.while_reached(running.ended()).await?.map_err(named)?;
                return Err(named(
                    internal("a program read no more of a dump").with("program", tool.name).with_source(error),
                ));
            }
            Ok(()) => {}
        }
        for line in self.settings.while_reached(running.ended()).await?.map_err(named)? {
            self.run.emit(&Event::Notice { message: format!("{}: {line}", tool.name) });
        }
        for (building, objects) in targets.iter().zip(sections.objects) {
            if let Some(building) = building {
                building.adopt(objects, is_mariadb);
            }
        }
        *self.loaded.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Some(format!("{} {}", tool.name, tool.version));
        Ok(())
    }

    async fn client(&self, tool: &Tool, prepare: &str, is_mariadb: bool) -> Result<Client<'_>> {
        let (mut command, file) = tool.command(&self.settings)?;
        command.args(["--batch", "--binary-mode", "--default-character-set=utf8mb4", "--max-allowed-packet=1G"]);
        // What a dump holds is for the server, not for this machine.
        for option in ["--sandbox", "--system-command"] {
            if tool.knows(option).await {
                command.arg(if option == "--sandbox" { "--sandbox" } else { "--skip-system-command" });
            }
        }
        command.stdin(std::process::Stdio::piped());
        let mut running = tool.start(command, file, &self.settings)?;
        // It would say nothing of use, and must not wait for a reader.
        drop(running.child.stdout.take());
        let mut input = running.child.stdin.take().ok_or_else(|| internal("a program without an input"))?;
        if let Err(error) = input.write_all(format!("{prepare};\n").as_bytes()).await {
            running.ended().await?;
            return Err(internal("a program read nothing").with("program", tool.name).with_source(error));
        }
        Ok(Client { running, input, settings: &self.settings, current: None, is_mariadb })
    }
}

/// A client that is being fed.
struct Client<'a> {
    running: Running,
    input: ChildStdin,
    settings: &'a MysqlSettings,
    /// The database that it has been told.
    current: Option<usize>,
    /// The dump is of MariaDB.
    is_mariadb: bool,
}

/// Why not everything was fed.
enum Fed {
    /// The client takes no more, and says why.
    Client(std::io::Error),
    Stream(Error),
}

impl From<Error> for Fed {
    fn from(error: Error) -> Self {
        Self::Stream(error)
    }
}

impl Client<'_> {
    async fn feed(
        &mut self,
        targets: &[Option<&Building>],
        databases: &[Dumped],
        pieces: Vec<Piece>,
    ) -> std::result::Result<(), Fed> {
        for piece in pieces {
            let (of, mut bytes) = match piece {
                Piece::Of(None, bytes) => (None, bytes),
                Piece::Of(Some(at), bytes) | Piece::Table(at, bytes) if targets[at].is_none() => {
                    drop(bytes);
                    continue;
                }
                Piece::Of(Some(at), bytes) => (Some(at), bytes),
                Piece::Table(at, create) => {
                    let to = targets[at].map_or(&databases[at].name, |building| &building.name);
                    let mut create = for_database(&create, &databases[at].name, to, self.is_mariadb);
                    create.extend_from_slice(b";\n");
                    (Some(at), create)
                }
            };
            if let Some(at) = of.filter(|at| self.current != Some(*at)) {
                let building = targets[at].ok_or_else(|| corrupt("the dump has a database that is not wanted"))?;
                let mut chosen = choosing(&building.name);
                chosen.append(&mut bytes);
                bytes = chosen;
                self.current = Some(at);
            }
            self.settings.while_reached(self.input.write_all(&bytes)).await?.map_err(Fed::Client)?;
        }
        Ok(())
    }
}
