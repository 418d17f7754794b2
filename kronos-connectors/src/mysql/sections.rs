//! What the statements of a dump are for: rows and tables, which the client loads, and what Kronos
//! makes itself once they have their place. Of which database each of them is.

use kronos_core::Result;

use super::comments::{uncovered, without_comment};
use super::ddl;
use super::error::corrupt;
use super::names::{ident, shown};
use super::objects::{Kind, Object, Setting, Text};
use super::plan::Dumped;
use super::rewrite::{Part, Token, moved, tokens};
use super::script::{Item, Scanner};

/// What dumps have beside what is looked at more closely, and what may be loaded as it is.
const LOADED: [&str; 12] = [
    "INSERT",
    "REPLACE",
    "ALTER TABLE",
    "SET",
    "DO",
    "SELECT",
    "COMMIT",
    "START TRANSACTION",
    "LOCK TABLES",
    "UNLOCK TABLES",
    "ANALYZE TABLE",
    "FLUSH TABLES",
];
/// What stands in a comment of these versions prepares the making of an object that is not a table.
const ABOUT_CODE: [&str; 3] = ["/*!50003 SET", "/*!50001 SET", "/*!50106 SET"];

/// A dump being read, and what has been found in it.
#[derive(Debug)]
pub(super) struct Sections {
    scanner: Scanner,
    databases: Vec<Dumped>,
    /// Of several databases it says which one comes.
    names_them: bool,
    current: Option<usize>,
    setting: Setting,
    /// Tables and code of each database.
    pub(super) objects: Vec<Vec<Object>>,
    is_complete: bool,
    /// The last statement said nothing but which database comes.
    has_chosen: bool,
}

/// What the client is to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Something for one of the databases, or for all of them.
    Of(Option<usize>, Vec<u8>),
    /// A statement that makes a table or a sequence.
    Table(usize, Vec<u8>),
}

impl Sections {
    pub(super) fn new(databases: &[Dumped], names_them: bool) -> Self {
        Self {
            scanner: Scanner::new(),
            names_them,
            current: (!names_them).then_some(0),
            setting: Setting::default(),
            objects: vec![Vec::new(); databases.len()],
            databases: databases.to_vec(),
            is_complete: false,
            has_chosen: false,
        }
    }

    /// Takes a piece of the dump; gives what is to be loaded.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<Piece>> {
        self.scanner.push(piece);
        self.some(false)
    }

    /// Takes a piece of the dump; gives all of it that is not the name of a database, with the database
    /// that it is of.
    pub(super) fn split(&mut self, piece: &[u8]) -> Result<Vec<(Option<usize>, Vec<u8>)>> {
        self.scanner.push(piece);
        self.parts(false)
    }

    /// The same at the end of the dump.
    pub(super) fn split_end(&mut self) -> Result<Vec<(Option<usize>, Vec<u8>)>> {
        let mut parts = self.parts(true)?;
        if let Some((of, _)) = parts.last_mut() {
            // Each of several has an end.
            *of = None;
        }
        Ok(parts)
    }

    fn parts(&mut self, is_end: bool) -> Result<Vec<(Option<usize>, Vec<u8>)>> {
        let mut parts = Vec::new();
        while let Some(item) = self.scanner.next(is_end)? {
            match item {
                Item::Rows(raw) | Item::Other(raw) => parts.push((self.current, raw)),
                Item::Statement { raw, at, delimiter } => {
                    self.has_chosen = false;
                    let of = self.current;
                    self.statement(&raw[at..raw.len() - delimiter])?;
                    if !self.has_chosen {
                        parts.push((of, with_dates(raw)));
                    }
                }
            }
        }
        Ok(parts)
    }

    /// The same at the end of the dump, which must be whole.
    pub(super) fn end(&mut self) -> Result<Vec<Piece>> {
        let pieces = self.some(true)?;
        if !self.is_complete {
            return Err(corrupt("the dump has no end"));
        }
        Ok(pieces)
    }

    fn some(&mut self, is_end: bool) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        while let Some(item) = self.scanner.next(is_end)? {
            match item {
                Item::Rows(raw) => pieces.push(Piece::Of(Some(self.current()?), raw)),
                Item::Statement { raw, at, delimiter } => {
                    let statement = &raw[at..raw.len() - delimiter];
                    pieces.extend(self.statement(statement)?);
                }
                Item::Other(raw) => {
                    let last = raw.trim_ascii_end().rsplit(|b| *b == b'\n').next().unwrap_or_default();
                    self.is_complete |= is_end && last.starts_with(b"-- Dump completed");
                }
            }
        }
        Ok(pieces)
    }

    fn current(&self) -> Result<usize> {
        self.current.ok_or_else(|| corrupt("the dump has something of no database"))
    }

    fn statement(&mut self, bytes: &[u8]) -> Result<Option<Piece>> {
        let bytes = bytes.trim_ascii();
        let text = String::from_utf8_lossy(bytes);
        if ABOUT_CODE.iter().any(|begin| text.starts_with(begin)) {
            self.set(&text);
            return Ok(None);
        }
        let plain = without_comment(&text);
        let is = |words: &str| {
            let mut found = plain.split_whitespace();
            words.split(' ').all(|word| found.next().is_some_and(|other| other.eq_ignore_ascii_case(word)))
        };
        if is("USE") || is("CREATE DATABASE") {
            self.choose(&text, is("USE"))?;
            return Ok(None);
        }
        if is("ALTER DATABASE") {
            self.setting.database = word_after(&tokens(&text), "COLLATE");
            return Ok(None);
        }
        if is("CREATE TABLE") || is("CREATE SEQUENCE") {
            // What stands for a view until it can be made.
            if text.starts_with("/*!50001") {
                return Ok(None);
            }
            let kind = if is("CREATE TABLE") { Kind::Table } else { Kind::Sequence };
            let current = self.current()?;
            let name = tokens(&text).get(2).and_then(Token::name);
            let name = name.ok_or_else(|| corrupt("the dump has a table without a name"))?;
            self.objects[current].push(Object {
                kind,
                name,
                create: Text::of(bytes.to_vec()),
                setting: None,
                table: None,
                next: None,
            });
            return Ok(Some(Piece::Table(current, bytes.to_vec())));
        }
        if is("DROP") || text.starts_with("/*!50001 CREATE VIEW ") {
            return Ok(None);
        }
        if is("CREATE") || is("CREATE*/") {
            self.code(bytes)?;
            return Ok(None);
        }
        if is("SET") || LOADED.iter().any(|words| is(words)) {
            let mut statement = with_dates(bytes.to_vec());
            statement.extend_from_slice(b";\n");
            // Some are of the session, whatever comes in it.
            let of = if is("SET") { None } else { Some(self.current()?) };
            return Ok(Some(Piece::Of(of, statement)));
        }
        let begin: Vec<&str> = plain.split_whitespace().take(2).collect();
        Err(corrupt("the dump has a statement that Kronos does not know").with("begins", begin.join(" ")))
    }

    /// Notes under which settings the next object is made.
    fn set(&mut self, text: &str) {
        let found = tokens(text);
        let Some(at) = found.iter().position(|token| token.text == "=") else { return };
        let (Some(name), Some(value)) = (found.get(at - 1), found.get(at + 1)) else { return };
        let restored = value.text.starts_with('@');
        let value = (!restored).then(|| value.text.trim_matches('\'').to_owned());
        match name.text.to_ascii_lowercase().as_str() {
            "sql_mode" => {
                let mode = value.clone().unwrap_or_default();
                self.scanner.backslash = !mode.contains("NO_BACKSLASH_ESCAPES");
                self.setting.sql_mode = value;
            }
            "character_set_client" => self.setting.client = value.unwrap_or_default(),
            "collation_connection" => self.setting.connection = value.unwrap_or_default(),
            "time_zone" => self.setting.time_zone = value,
            _ => {}
        }
    }

    /// Says of which database everything is that follows.
    fn choose(&mut self, text: &str, is_use: bool) -> Result<()> {
        let found = tokens(text);
        let name = found.iter().filter(|token| token.text.starts_with('`')).find_map(Token::name);
        let place = name.as_ref().and_then(|name| self.databases.iter().position(|database| database.name == *name));
        match place {
            Some(place) if self.names_them => {
                self.has_chosen = true;
                if is_use {
                    self.current = Some(place);
                }
                Ok(())
            }
            _ => Err(corrupt("the dump names a database that it should not have")
                .with("database", shown(&name.unwrap_or_default()))),
        }
    }

    fn code(&mut self, bytes: &[u8]) -> Result<()> {
        let create = uncovered(bytes);
        let text = String::from_utf8_lossy(&create).into_owned();
        let strange = || corrupt("the dump makes something that Kronos does not know");
        let found = tokens(&text);
        let (at, kind) = kind_of(&found).ok_or_else(strange)?;
        let mut at = at + 1;
        if kind != Kind::View && found.get(at).is_some_and(|token| token.is("IF")) {
            // IF NOT EXISTS
            at += 3;
        }
        let name = |token: &Token<'_>| {
            let quoted = token.text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            quoted.map(|text| text.replace("\"\"", "\"")).or_else(|| token.name())
        };
        // A name may have that of its database before it.
        let mut object_name = found.get(at).and_then(name).ok_or_else(strange)?;
        if found.get(at + 1).is_some_and(|token| token.text == ".") {
            object_name = found.get(at + 2).and_then(name).ok_or_else(strange)?;
        }
        let on = found.iter().skip(at).position(|token| token.is("ON")).map(|on| at + on + 1);
        let table = on.filter(|_| kind == Kind::Trigger).and_then(|on| {
            let at = if found.get(on + 1)?.text == "." { on + 2 } else { on };
            name(found.get(at)?)
        });
        if kind == Kind::Trigger && table.is_none() {
            return Err(strange());
        }
        let current = self.current()?;
        let mut setting = self.setting.clone();
        if kind == Kind::View {
            setting = Setting { sql_mode: None, time_zone: None, database: None, ..setting };
        } else {
            setting.database.get_or_insert_with(|| self.databases[current].collation.clone());
            setting.sql_mode.get_or_insert_default();
        }
        if kind != Kind::Event {
            setting.time_zone = None;
        }
        if setting.client.is_empty() {
            "utf8mb4".clone_into(&mut setting.client);
            "utf8mb4_general_ci".clone_into(&mut setting.connection);
        }
        let create = Text::of(create);
        self.objects[current].push(Object {
            kind,
            name: object_name,
            create,
            setting: Some(setting),
            table,
            next: None,
        });
        Ok(())
    }
}

/// A statement that makes a table without what is faster made when its rows are there, for a database
/// of another name; it may take its defaults from a sequence, which is named with its database.
pub(super) fn for_database(create: &[u8], from: &str, to: &str, is_mariadb: bool) -> Vec<u8> {
    match std::str::from_utf8(create) {
        Ok(text) if text.starts_with("CREATE TABLE") => {
            moved(&ddl::split(text, is_mariadb).create, from, to, Part::All).into_bytes()
        }
        _ => create.to_vec(),
    }
}

/// Dumps take back the dates that they say, but not the 30th of February, which servers may have
/// stored: it would become a zero without a word.
fn with_dates(statement: Vec<u8>) -> Vec<u8> {
    const MODE: &str = "SQL_MODE='NO_AUTO_VALUE_ON_ZERO'";
    match std::str::from_utf8(&statement) {
        Ok(text)
            if text.trim_end_matches([';', '\n', ' ']).ends_with("*/")
                && text.contains("@OLD_SQL_MODE")
                && text.contains(MODE) =>
        {
            text.replace(MODE, "SQL_MODE='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'").into_bytes()
        }
        _ => statement,
    }
}

/// What the server takes instead of the client's own word for it.
pub(super) fn choosing(database: &str) -> Vec<u8> {
    // The client would take a line that begins with it for a command of its own, and read the name
    // by rules of its own.
    format!("/*!40000 USE {} */;\n", ident(database)).into_bytes()
}

/// What a statement makes that is not a table, and which word says so.
fn kind_of(found: &[Token<'_>]) -> Option<(usize, Kind)> {
    let (at, token) = found.iter().enumerate().find(|(at, token)| {
        *at > 0
            && ["FUNCTION", "PROCEDURE", "PACKAGE", "VIEW", "TRIGGER", "EVENT", "LIBRARY"]
                .iter()
                .any(|word| token.is(word))
            && found[at - 1].text != "="
            && found[at - 1].text != "@"
    })?;
    let kind = [Kind::Function, Kind::Procedure, Kind::View, Kind::Trigger, Kind::Event]
        .into_iter()
        .find(|kind| token.is(kind.sql()));
    match kind {
        Some(kind) => Some((at, kind)),
        None if token.is("PACKAGE") && found.get(at + 1)?.is("BODY") => Some((at + 1, Kind::PackageBody)),
        None if token.is("PACKAGE") => Some((at, Kind::Package)),
        None => None,
    }
}

fn word_after(found: &[Token<'_>], word: &str) -> Option<String> {
    let at = found.iter().position(|token| token.is(word))?;
    found.get(at + 1).map(|token| token.text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dumped(name: &str) -> Dumped {
        Dumped { name: name.into(), create: String::new(), collation: "latin1_swedish_ci".into() }
    }

    fn read(dump: &str, databases: &[&str]) -> Result<(Sections, Vec<Piece>)> {
        let databases: Vec<Dumped> = databases.iter().map(|name| dumped(name)).collect();
        let mut sections = Sections::new(&databases, databases.len() > 1);
        let mut pieces = sections.push(dump.as_bytes())?;
        pieces.extend(sections.end()?);
        Ok((sections, pieces))
    }

    #[test]
    fn everything_gets_to_its_database() {
        let dump = "/*!40101 SET NAMES utf8mb4 */;\nCREATE DATABASE /*!32312 IF NOT EXISTS*/ `a``b` /*!40100 DEFAULT CHARACTER SET latin1 */;\n\
            USE `a``b`;\nCREATE TABLE `t` (\n  `x` int DEFAULT nextval(`a``b`.`s`)\n);\nINSERT INTO `t` VALUES (1);\n\
            /*!50001 CREATE VIEW `v` AS SELECT 1 AS `x`*/;\nUSE `c`;\n/*!50003 SET sql_mode              = 'ANSI' */ ;\nDELIMITER ;;\n\
            /*!50003 CREATE*/ /*!50017 DEFINER=`ro*/ot`@`%`*/ /*!50003 TRIGGER tr BEFORE INSERT ON t FOR EACH ROW /* x */ SET @a = 1 */;;\n\
            DELIMITER ;\nUSE `a``b`;\n/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`x`@`y` SQL SECURITY DEFINER */\n\
            /*!50001 VIEW `v` AS select 1 AS `x` */;\n-- Dump completed\n";
        let (sections, pieces) = read(dump, &["a`b", "c"]).unwrap();
        assert_eq!(pieces.len(), 3, "{pieces:?}");
        assert!(
            matches!(&pieces[1], Piece::Table(0, create) if for_database(create, "a`b", "o", true).ends_with(b"nextval(`o`.`s`)\n)"))
        );
        let [first, second] = &sections.objects[..] else { panic!() };
        assert_eq!((first[0].kind, first[0].name.as_str()), (Kind::Table, "t"));
        assert_eq!(
            first[1].create,
            Text::Plain(
                "CREATE ALGORITHM=UNDEFINED DEFINER=`x`@`y` SQL SECURITY DEFINER VIEW `v` AS select 1 AS `x`".into()
            )
        );
        let expected = "CREATE DEFINER=`ro*/ot`@`%` TRIGGER tr BEFORE INSERT ON t FOR EACH ROW /* x */ SET @a = 1";
        assert_eq!(second[0].create, Text::Plain(expected.into()));
        assert_eq!((second[0].table.as_deref(), second[0].name.as_str()), (Some("t"), "tr"));
        assert_eq!(second[0].setting.as_ref().unwrap().sql_mode.as_deref(), Some("ANSI"));
    }

    #[test]
    fn what_would_go_elsewhere_is_refused() {
        for dump in
            ["USE `other`;\n-- Dump completed\n", "GRANT ALL ON *.* TO x;\n-- Dump completed\n", "SET @a = 1;\n"]
        {
            assert!(read(dump, &["a"]).is_err(), "{dump}");
            assert!(read(dump, &["a", "b"]).is_err(), "{dump}");
        }
    }
}
