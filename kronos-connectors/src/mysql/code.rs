//! Routines, views, triggers and events: made in the database in which they are to stay, under the
//! settings under which they were made first.

use kronos_core::{Error, ErrorKind, Result};

use super::connect::{MODE, Session};
use super::error::{corrupt, has_code};
use super::names::{ident, plain_literal, qualified, shown};
use super::objects::{Kind, Object, Setting, Text};
use super::rewrite::{Part, moved, names_database, without_definer};

/// Something that a view refers to is not there (yet).
const LACKING: [u16; 9] = [1049, 1054, 1109, 1146, 1305, 1356, 1370, 1449, 4091];

/// Where objects come from, and where they are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move<'a> {
    pub from: &'a str,
    pub to: &'a str,
    /// Whether definers are kept.
    pub owners: bool,
}

/// What came of making objects.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Views that need what is not there, which may be in a database that is made later; and why.
    pub lacking: Vec<(Object, String)>,
}

impl Made {
    /// Everything that the user should know, once nothing more will be made.
    pub(super) fn told(self) -> Vec<String> {
        let told = |(view, why): (Object, String)| {
            format!("the {} was not made, as it needs what is not there: {why}", view.shown())
        };
        self.warnings.into_iter().chain(self.lacking.into_iter().map(told)).collect()
    }
}

/// Makes objects. Those of the same names are replaced.
pub(super) async fn make_all(session: &mut Session, objects: &[Object], place: Move<'_>) -> Result<Made> {
    let collation = collation(session, place.to).await?;
    let made = make_each(session, objects, place).await;
    // Those of another time may have wanted the database to have another one.
    set_collation(session, place.to, &collation).await?;
    prepare(session, None).await?;
    made
}

async fn make_each(session: &mut Session, objects: &[Object], place: Move<'_>) -> Result<Made> {
    session.run("choose the database", &format!("USE {}", ident(place.to))).await?;
    let mut made = Made::default();
    let of = |kind: fn(Kind) -> bool| objects.iter().filter(move |object| kind(object.kind));
    for object in of(|kind| kind < Kind::View) {
        make(session, object, place).await?;
    }
    let mut views: Vec<&Object> = of(|kind| kind == Kind::View).collect();
    for view in &views {
        drop_one(session, view, place.to).await?;
    }
    // One may be made of another, whatever their names.
    while !views.is_empty() {
        let (before, mut lacking) = (views.len(), Vec::new());
        for view in std::mem::take(&mut views) {
            match make(session, view, place).await {
                Ok(()) => {}
                Err(error) if has_code(&error, &LACKING) => lacking.push((view, error)),
                Err(error) => return Err(error),
            }
        }
        if lacking.len() == before {
            made.lacking = lacking.into_iter().map(|(view, e)| (view.clone(), e.message().to_owned())).collect();
            break;
        }
        views = lacking.into_iter().map(|(view, _)| view).collect();
    }
    for object in of(|kind| kind > Kind::View) {
        make(session, object, place).await?;
    }
    if place.from != place.to {
        let old =
            |object: &&Object| object.kind != Kind::View && text(object).is_some_and(|t| names_database(t, place.from));
        let told = |object: &Object| {
            format!("the {} still names the database {} in its text", object.shown(), shown(place.from))
        };
        made.warnings.extend(objects.iter().filter(old).map(told));
    }
    Ok(made)
}

/// Removes objects, as far as they are there.
pub(super) async fn drop_all(session: &mut Session, objects: &[Object], database: &str) -> Result<()> {
    for object in objects.iter().rev() {
        drop_one(session, object, database).await?;
    }
    Ok(())
}

async fn drop_one(session: &mut Session, object: &Object, database: &str) -> Result<()> {
    let what = "remove an object";
    let sql = format!("DROP {} IF EXISTS {}", object.kind.sql(), qualified(database, &object.name));
    let is_package = [Kind::Package, Kind::PackageBody].contains(&object.kind);
    if is_package {
        // Elsewhere MariaDB before 11 does not know the word.
        session.run(what, "SET SESSION sql_mode = 'ORACLE'").await?;
    }
    session.run(what, &sql).await.map_err(|e| e.with("object", object.shown()))?;
    if is_package { session.run(what, &format!("SET SESSION sql_mode = '{MODE}'")).await } else { Ok(()) }
}

fn text(object: &Object) -> Option<&str> {
    match &object.create {
        Text::Plain(text) => Some(text),
        Text::Bytes { .. } => None,
    }
}

async fn make(session: &mut Session, object: &Object, place: Move<'_>) -> Result<()> {
    let named = |e: Error| e.with("object", object.shown());
    if object.kind != Kind::View {
        drop_one(session, object, place.to).await?;
    }
    let sql = statement(object, place)?;
    if let Some(setting) = &object.setting {
        prepare(session, Some(setting)).await.map_err(named)?;
        if let Some(collation) = setting.database.as_deref().filter(|_| object.kind != Kind::View) {
            set_collation(session, place.to, collation).await.map_err(named)?;
        }
    }
    session.run_bytes("make an object", &sql).await.map_err(|e| {
        let e = named(e);
        if has_code(&e, &[1418, 1419]) {
            e.with("hint", "log_bin_trust_function_creators = 1, or a user with SUPER")
        } else {
            e
        }
    })
}

/// The statement that makes an object in another database.
fn statement(object: &Object, place: Move<'_>) -> Result<Vec<u8>> {
    let Some(text) = text(object) else { return object.create.bytes() };
    if !text.trim_start().to_ascii_uppercase().starts_with("CREATE") {
        return Err(corrupt("a definition of the backup makes nothing").with("object", object.shown()));
    }
    let mut sql = text.to_owned();
    if place.from != place.to {
        let part = match object.kind {
            Kind::View => Some(Part::View),
            Kind::Trigger | Kind::Function | Kind::Procedure => Some(Part::Head),
            _ => None,
        };
        if let Some(part) = part {
            sql = moved(&sql, place.from, place.to, part);
        }
    }
    Ok(if place.owners { sql } else { without_definer(&sql) }.into_bytes())
}

/// The settings under which an object was made, or those of all sessions again.
async fn prepare(session: &mut Session, setting: Option<&Setting>) -> Result<()> {
    let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b',');
    let mut sql = format!(
        "SET SESSION character_set_client = utf8mb4, collation_connection = utf8mb4_general_ci, sql_mode = '{MODE}', \
            time_zone = '+00:00'"
    );
    if let Some(setting) = setting {
        let mode = setting.sql_mode.as_deref();
        if !is_word(&setting.client) || !is_word(&setting.connection) || !mode.is_none_or(is_word) {
            return Err(corrupt("an object of the backup has settings that cannot be"));
        }
        sql = format!(
            "SET SESSION character_set_client = {}, collation_connection = {}, sql_mode = '{}', time_zone = {}",
            setting.client,
            setting.connection,
            mode.unwrap_or(MODE),
            plain_literal(setting.time_zone.as_deref().unwrap_or("+00:00"))
        );
    }
    session.run("set what an object was made under", &sql).await
}

async fn collation(session: &mut Session, database: &str) -> Result<String> {
    let sql = format!(
        "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = {}",
        super::names::literal(database)
    );
    session.value("ask for the database's collation", &sql).await
}

async fn set_collation(session: &mut Session, database: &str, wanted: &str) -> Result<()> {
    if wanted.is_empty() || collation(session, database).await? == wanted {
        return Ok(());
    }
    if !wanted.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(Error::new(ErrorKind::Corrupt, "an object of the backup has a collation that cannot be"));
    }
    let sql = format!("ALTER DATABASE {} COLLATE {wanted}", ident(database));
    session.run("set the database's collation", &sql).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_nothing_is_not_run() {
        let object = |create: &str| Object {
            kind: Kind::View,
            name: "v".into(),
            create: Text::Plain(create.into()),
            setting: None,
            table: None,
            next: None,
        };
        let place = Move { from: "a", to: "b", owners: false };
        assert!(statement(&object("DROP DATABASE x"), place).is_err());
        let view = object("CREATE DEFINER=`x`@`%` VIEW `v` AS select `a`.`t`.`c` from `a`.`t`");
        assert_eq!(statement(&view, place).unwrap(), b"CREATE VIEW `v` AS select `b`.`t`.`c` from `b`.`t`");
    }
}
