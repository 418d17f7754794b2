//! The script of an export: what makes a database of plain files, for the servers' own client.

use kronos_core::Result;

use super::connect::MODE;
use super::ddl::{self, Split};
use super::error::corrupt;
use super::names::{ident, plain_literal};
use super::objects::{Kind, Object, Text};
use super::plan::Rows;
use super::rewrite::{Part, moved};

/// A name that stands for no database while it is taken out.
const NOWHERE: &str = "kronos: no database";
/// Ends of statements that may have semicolons in them.
const DELIMITERS: [&str; 4] = [";;", "$$", "//", "$kronos$"];

/// What comes before the rows and what comes after them, in the order in which it can be made, in
/// whatever database the client has chosen.
pub(super) fn around(database: &str, objects: &[Object], rows: &[&Rows], is_mariadb: bool) -> Result<[Vec<u8>; 2]> {
    let (mut out, mut after) = (Vec::new(), Vec::new());
    let client = if is_mariadb { "mariadb" } else { "mysql" };
    let mut line = |text: &str| {
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    };
    line("-- To be loaded into a database that is there and empty:");
    line(&format!("--   {client} --binary-mode --database=NEW"));
    for object in objects.iter().filter(|object| object.kind == Kind::Database) {
        line("-- The database was made by:");
        line(&format!("--   {}", plain(object)?.replace('\n', " ")));
    }
    line(&format!(
        "SET NAMES utf8mb4;\nSET SESSION sql_mode = '{MODE}', time_zone = '+00:00', foreign_key_checks = 0, unique_checks = 0;"
    ));
    if is_mariadb {
        line("SET SESSION check_constraint_checks = 0, system_versioning_alter_history = KEEP;");
    }
    if rows.iter().any(|rows| rows.history) {
        line("SET SESSION system_versioning_insert_history = ON;");
    }
    for object in objects.iter().filter(|object| object.kind == Kind::Sequence) {
        line(&format!("{};", plain(object)?));
        if let Some(next) = &object.next {
            let (Ok(value), Ok(round)) = (next.value.parse::<i128>(), next.round.parse::<u64>()) else {
                return Err(corrupt("the value of a sequence is no number"));
            };
            line(&format!("DO SETVAL({}, {value}, 0, {round});", ident(&object.name)));
        }
    }
    let mut tables: Vec<(String, Split)> = Vec::new();
    for object in objects.iter().filter(|object| object.kind == Kind::Table) {
        let create = without_database(&plain(object)?, database);
        let split = ddl::split(&create, is_mariadb);
        line(&format!("{};", split.create));
        tables.push((object.name.clone(), split));
    }
    let mut line = |text: &str| {
        after.extend_from_slice(text.as_bytes());
        after.push(b'\n');
    };
    for (table, split) in &tables {
        let steps = (!split.keys.is_empty()).then(|| split.keys.clone()).into_iter();
        for step in steps.chain(split.singles.iter().map(|key| vec![key.clone()])) {
            line(&alter(table, &step));
        }
    }
    for (table, split) in tables.iter().filter(|(_, split)| !split.foreign.is_empty()) {
        line(&alter(table, &split.foreign));
    }
    for object in code(objects) {
        make(&mut after, database, object)?;
    }
    Ok([out, after])
}

fn alter(table: &str, added: &[String]) -> String {
    let added: Vec<String> = added.iter().map(|what| format!("ADD {what}")).collect();
    format!("ALTER TABLE {} {};", ident(table), added.join(", "))
}

/// What is not a table, in the order in which it can be made: views after those that they name.
fn code(objects: &[Object]) -> Vec<&Object> {
    let of = |is: fn(Kind) -> bool| objects.iter().filter(move |object| is(object.kind));
    let mut found: Vec<&Object> = of(|kind| kind > Kind::Table && kind < Kind::View).collect();
    let mut views: Vec<&Object> = of(|kind| kind == Kind::View).collect();
    let names = |view: &Object, other: &Object| match &view.create {
        Text::Plain(text) => view.name != other.name && text.contains(&ident(&other.name)),
        Text::Bytes { .. } => false,
    };
    while !views.is_empty() {
        let ready: Vec<bool> = views.iter().map(|view| !views.iter().any(|other| names(view, other))).collect();
        // A column may have the name of a view.
        let all = !ready.contains(&true);
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for (view, is_ready) in views.into_iter().zip(ready) {
            if is_ready || all { now.push(view) } else { later.push(view) }
        }
        found.append(&mut now);
        views = later;
    }
    found.extend(of(|kind| kind > Kind::View));
    found
}

fn make(out: &mut Vec<u8>, from: &str, object: &Object) -> Result<()> {
    let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b',');
    let bytes = match &object.create {
        // The server names the view's own database in it if it names another one too.
        Text::Plain(text) if object.kind == Kind::View => without_database(text, from).into_bytes(),
        create => create.bytes()?,
    };
    if let Some(setting) = &object.setting {
        let mode = setting.sql_mode.as_deref().unwrap_or(MODE);
        let database = setting.database.as_deref().filter(|_| object.kind != Kind::View);
        if ![&setting.client, &setting.connection, mode, database.unwrap_or_default()].into_iter().all(is_word) {
            return Err(corrupt("an object of the backup has settings that cannot be"));
        }
        if let Some(collation) = database.filter(|collation| !collation.is_empty()) {
            out.extend_from_slice(format!("ALTER DATABASE COLLATE {collation};\n").as_bytes());
        }
        let zone = plain_literal(setting.time_zone.as_deref().unwrap_or("+00:00"));
        let (client, connection) = (&setting.client, &setting.connection);
        let set = format!(
            "SET SESSION character_set_client = {client}, collation_connection = {connection}, sql_mode = '{mode}', time_zone = {zone};\n"
        );
        out.extend_from_slice(set.as_bytes());
    }
    let has = |text: &str| bytes.windows(text.len()).any(|some| some == text.as_bytes());
    let delimiter = DELIMITERS.into_iter().find(|delimiter| !has(delimiter));
    let delimiter = delimiter.ok_or_else(|| corrupt("no end for a statement").with("object", object.shown()))?;
    out.extend_from_slice(format!("DELIMITER {delimiter}\n").as_bytes());
    out.extend_from_slice(&bytes);
    out.extend_from_slice(format!("\n{delimiter}\nDELIMITER ;\n").as_bytes());
    Ok(())
}

/// A statement that names a database no more.
fn without_database(sql: &str, database: &str) -> String {
    moved(sql, database, NOWHERE, Part::View).replace(&format!("{}.", ident(NOWHERE)), "")
}

fn plain(object: &Object) -> Result<String> {
    match &object.create {
        Text::Plain(text) if text.starts_with("CREATE ") => Ok(text.clone()),
        _ => Err(corrupt("a definition of the backup makes nothing").with("object", object.shown())),
    }
}
