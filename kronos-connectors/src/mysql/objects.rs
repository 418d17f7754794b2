//! What a database has beside rows: each object as the statement that makes it, with the settings
//! under which it was made. One line of JSON for each.

use kronos_core::{Error, ErrorKind, Result};
use mysql_async::Row;
use serde::{Deserialize, Serialize};

use super::catalog;
use super::connect::Session;
use super::error::{corrupt, has_code, internal};
use super::names::{ident, literal, qualified, shown};

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Database,
    Sequence,
    Table,
    /// Code that functions and procedures share (MySQL, since 9.2).
    Library,
    Function,
    Procedure,
    Package,
    PackageBody,
    View,
    Trigger,
    Event,
}

impl Kind {
    /// As SQL calls it.
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Database => "DATABASE",
            Self::Sequence => "SEQUENCE",
            Self::Table => "TABLE",
            Self::Library => "LIBRARY",
            Self::Function => "FUNCTION",
            Self::Procedure => "PROCEDURE",
            Self::Package => "PACKAGE",
            Self::PackageBody => "PACKAGE BODY",
            Self::View => "VIEW",
            Self::Trigger => "TRIGGER",
            Self::Event => "EVENT",
        }
    }

    /// What it is called by `information_schema.routines`.
    fn of_routine(text: &str) -> Option<Self> {
        [Self::Function, Self::Procedure, Self::Package, Self::PackageBody].into_iter().find(|kind| kind.sql() == text)
    }
}

/// A statement. What was written in another character set than UTF-8 is kept in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Text {
    Plain(String),
    Bytes { hex: String },
}

impl Text {
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|e| Self::Bytes { hex: hex::encode(e.as_bytes()) }, Self::Plain)
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        match self {
            Self::Plain(text) => Ok(text.clone().into_bytes()),
            Self::Bytes { hex } => {
                hex::decode(hex).map_err(|_| corrupt("a statement of the backup is not hexadecimal"))
            }
        }
    }
}

/// Under which settings an object was made; it keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Setting {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql_mode: Option<String>,
    /// `character_set_client`.
    pub client: String,
    /// `collation_connection`.
    pub connection: String,
    /// The collation that the database had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// The state of a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Next {
    pub value: String,
    pub round: String,
}

/// An object of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Object {
    pub kind: Kind,
    pub name: String,
    pub create: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<Setting>,
    /// Of a trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
}

impl Object {
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.kind.sql().to_ascii_lowercase(), shown(&self.name))
    }
}

/// Everything of a database but rows, in the order in which it can be made.
pub(super) async fn read(session: &mut Session, database: &str) -> Result<Vec<Object>> {
    // Names of the database itself are left out of views only there.
    session.run("choose the database", &format!("USE {}", ident(database))).await?;
    let mut reading = Reading { session, database };
    let mut objects = vec![reading.show(Kind::Database, database).await?];
    let relations = catalog::relations(reading.session, database).await?;
    for (name, _) in relations.iter().filter(|(_, kind)| kind == "SEQUENCE") {
        let mut sequence = reading.show(Kind::Sequence, name).await?;
        sequence.next = Some(reading.next(name).await?);
        objects.push(sequence);
    }
    for (name, _) in relations.iter().filter(|(_, kind)| ["BASE TABLE", "SYSTEM VERSIONED"].contains(&kind.as_str())) {
        objects.push(reading.show(Kind::Table, name).await?);
    }
    objects.extend(reading.code().await?);
    for (name, _) in relations.iter().filter(|(_, kind)| kind == "VIEW") {
        objects.push(reading.show(Kind::View, name).await?);
    }
    for (name, table) in reading.triggers().await? {
        let mut trigger = reading.show(Kind::Trigger, &name).await?;
        trigger.table = Some(table);
        objects.push(trigger);
    }
    for name in reading.names("SELECT event_name FROM information_schema.events WHERE event_schema = ").await? {
        objects.push(reading.show(Kind::Event, &name).await?);
    }
    Ok(objects)
}

/// Routines, views, triggers and events: what cannot go along when tables change their database.
pub(super) async fn read_code(session: &mut Session, database: &str) -> Result<Vec<Object>> {
    let all = read(session, database).await?;
    Ok(all.into_iter().filter(|object| object.kind > Kind::Table).collect())
}

/// The definition of a table without its counter, which goes on.
pub(super) fn definition(create: Vec<u8>) -> Vec<u8> {
    const COUNTER: &[u8] = b" AUTO_INCREMENT=";
    let mut kept = create;
    while let Some(at) = kept.windows(COUNTER.len()).position(|some| some == COUNTER) {
        let end = kept[at + COUNTER.len()..].iter().position(|byte| !byte.is_ascii_digit());
        kept.drain(at..end.map_or(kept.len(), |end| at + COUNTER.len() + end));
    }
    kept
}

/// What a table is now.
pub(super) async fn definition_now(session: &mut Session, database: &str, table: &str) -> Result<Vec<u8>> {
    let sql = format!("SHOW CREATE TABLE {}", qualified(database, table));
    let row: Row = session.row("ask for a definition", &sql).await?;
    let create = row.get_opt::<Vec<u8>, _>(1).and_then(std::result::Result::ok);
    create.map(definition).ok_or_else(|| internal("the server defines a table by nothing"))
}

/// One line for each object.
pub(super) fn lines(objects: &[Object]) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for object in objects {
        serde_json::to_writer(&mut lines, object).map_err(|e| internal("JSON").with_source(e))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// The objects of a stream.
pub(super) fn parse(text: &str) -> Result<Vec<Object>> {
    let wrong = |e| corrupt("the definitions of the backup are malformed").with_source(e);
    text.lines().map(|line| serde_json::from_str(line).map_err(wrong)).collect()
}

struct Reading<'a> {
    session: &'a mut Session,
    database: &'a str,
}

impl Reading<'_> {
    async fn names(&mut self, query: &str) -> Result<Vec<String>> {
        let sql = format!("{query}{} ORDER BY 1", literal(self.database));
        let found: Vec<(String,)> = self.session.rows("list the objects of a database", &sql).await?;
        Ok(found.into_iter().map(|(name,)| name).collect())
    }

    /// In the order in which those of one table and event are run.
    async fn triggers(&mut self) -> Result<Vec<(String, String)>> {
        let sql = format!(
            "SELECT trigger_name, event_object_table FROM information_schema.triggers WHERE trigger_schema = {} \
             ORDER BY event_object_table, action_timing, event_manipulation, action_order",
            literal(self.database)
        );
        self.session.rows("list the triggers", &sql).await
    }

    async fn code(&mut self) -> Result<Vec<Object>> {
        let sql = format!(
            "SELECT routine_type, routine_name FROM information_schema.routines WHERE routine_schema = {} ORDER BY 1, 2",
            literal(self.database)
        );
        let mut objects = Vec::new();
        if self.session.server.is_mysql_since(9, 2) {
            let query = "SELECT library_name FROM information_schema.libraries WHERE library_schema = ";
            for name in self.names(query).await? {
                objects.push(self.show(Kind::Library, &name).await?);
            }
        }
        let found: Vec<(String, String)> = self.session.rows("list the routines", &sql).await?;
        for (kind, name) in found {
            let kind = Kind::of_routine(&kind).ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "a routine of a kind that Kronos does not know")
                    .with("kind", &kind)
                    .with("routine", shown(&name))
            })?;
            objects.push(self.show(kind, &name).await?);
        }
        Ok(objects)
    }

    /// Asks the server for the statement that makes an object.
    async fn show(&mut self, kind: Kind, name: &str) -> Result<Object> {
        let place = if kind == Kind::Database { ident(name) } else { qualified(self.database, name) };
        // A view that refers to itself by the name of its database is shown with it everywhere.
        let place = if kind == Kind::View { ident(name) } else { place };
        let sql = format!("SHOW CREATE {} {place}", kind.sql());
        let row: Result<Row> = self.session.row("ask for a definition", &sql).await;
        let row = row.map_err(|e| {
            let denied = has_code(&e, &[1142, 1227, 1305, 1142, 1449]);
            let e = e.with("object", format!("{} {}", kind.sql(), shown(name)));
            if denied { e.with("hint", "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT and, on routines, SHOW_ROUTINE (MySQL) or SELECT ON mysql.proc (MariaDB)") } else { e }
        })?;
        let (mode, zone, create, client) = match kind {
            Kind::Database | Kind::Sequence | Kind::Table => (None, None, 1, None),
            Kind::Library => (Some(1), None, 2, None),
            Kind::View => (None, None, 1, Some(2)),
            Kind::Event => (Some(1), Some(2), 3, Some(4)),
            _ => (Some(1), None, 2, Some(3)),
        };
        let bytes = |at: usize| row.get_opt::<Option<Vec<u8>>, _>(at).and_then(std::result::Result::ok).flatten();
        let word = |at: usize| bytes(at).and_then(|bytes| String::from_utf8(bytes).ok());
        let hidden = || {
            let right = if self.session.server.is_mariadb { "SELECT ON mysql.proc" } else { "SHOW_ROUTINE ON *.*" };
            Error::new(ErrorKind::PermissionDenied, "the user may not see a definition")
                .with("object", format!("{} {}", kind.sql(), shown(name)))
                .with("hint", format!("GRANT {right}"))
        };
        let text = bytes(create).ok_or_else(hidden)?;
        let mut setting = client.map(|at| Setting {
            sql_mode: mode.and_then(word),
            client: word(at).unwrap_or_default(),
            connection: word(at + 1).unwrap_or_default(),
            database: word(at + 2),
            time_zone: zone.and_then(word),
        });
        if kind == Kind::Library {
            // Of its settings it keeps this one.
            let (client, connection) = ("utf8mb4".to_owned(), "utf8mb4_general_ci".to_owned());
            setting = Some(Setting { sql_mode: mode.and_then(word), client, connection, ..Setting::default() });
        }
        Ok(Object { kind, name: name.to_owned(), create: Text::of(text), setting, table: None, next: None })
    }

    async fn next(&mut self, name: &str) -> Result<Next> {
        let sql = format!(
            "SELECT CAST(next_not_cached_value AS CHAR), CAST(cycle_count AS CHAR) FROM {}",
            qualified(self.database, name)
        );
        let (value, round) = self.session.row("read a sequence", &sql).await?;
        Ok(Next { value, round })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_no_part_of_a_definition() {
        let create = "CREATE TABLE `t` (`id` int AUTO_INCREMENT) ENGINE=InnoDB AUTO_INCREMENT=75 COMMENT='x'";
        let kept = create.replace(" AUTO_INCREMENT=75", "");
        assert_eq!(definition(create.into()), kept.as_bytes());
        assert_eq!(definition(b"x AUTO_INCREMENT=7".to_vec()), b"x");
    }

    #[test]
    fn statements_that_are_no_text_survive() {
        let object = |create| Object {
            kind: Kind::PackageBody,
            name: "p".into(),
            create,
            setting: Some(Setting { client: "latin1".into(), ..Setting::default() }),
            table: None,
            next: None,
        };
        let both = [object(Text::of(b"SELECT '\xe9'".to_vec())), object(Text::of(b"SELECT 1".to_vec()))];
        let text = String::from_utf8(lines(&both).unwrap()).unwrap();
        assert!(text.starts_with(r#"{"kind":"package-body","name":"p","create":{"hex":"53"#), "{text}");
        assert_eq!(parse(&text).unwrap(), both);
        assert_eq!(both[0].create.bytes().unwrap(), b"SELECT '\xe9'");
        assert!(Text::Bytes { hex: "5".into() }.bytes().is_err());
    }
}
