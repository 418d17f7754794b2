//! What can be known before a backup: which rights are missing, each with the statement that grants
//! it, and what of the server's settings makes a backup worse than it could be.

use kronos_core::{Preflight, Result};

use super::catalog;
use super::connect::Session;
use super::names::{ident, shown};
use super::rewrite::tokens;
use super::settings::MysqlSettings;

pub(super) async fn preflight(settings: &MysqlSettings) -> Result<Preflight> {
    let mut found = Preflight::default();
    let (chosen, notices) = settings.chosen(&[]).await?;
    found.notes.extend(notices);
    let mut session = settings.open().await?;
    let grants: Vec<(String,)> = session.rows("ask for the user's rights", "SHOW GRANTS").await?;
    let rights = Rights(grants.into_iter().map(|(grant,)| grant).collect());
    for (right, place, is_needed, why) in wanted(&session, &chosen) {
        if rights.has(right, place.as_deref()) {
            continue;
        }
        let place = place.map_or_else(|| "*.*".to_owned(), |database| format!("{}.*", ident(&database)));
        let line = format!("GRANT {right} ON {place}: {why}");
        if is_needed { found.missing.push(line) } else { found.notes.push(line) }
    }
    found.notes.extend(server_notes(&mut session).await?);
    for database in &chosen {
        for table in catalog::tables(&mut session, database).await? {
            let name = format!("{}.{}", shown(database), shown(&table.name));
            let engine = table.engine.as_deref().unwrap_or("none that the server can open");
            if !table.is_transactional && table.has_rows() {
                let line = format!("no snapshot can hold {name} still: its engine is {engine}");
                if settings.strict || table.engine.is_none() {
                    found.missing.push(line);
                } else {
                    found.notes.push(line);
                }
            }
        }
    }
    session.close().await;
    Ok(found)
}

/// A right, the database in which it is needed, whether a backup fails without it, and what for.
type Wanted = (&'static str, Option<String>, bool, &'static str);

fn wanted(session: &Session, databases: &[String]) -> Vec<Wanted> {
    let server = session.server;
    let mut wanted: Vec<Wanted> = vec![
        ("RELOAD", None, false, "without it commits are not held back, and snapshots are opened until they agree"),
        ("SELECT", Some("mysql".to_owned()), false, "without it users and their rights are not backed up"),
    ];
    if server.is_mariadb {
        let why = "without it the position in the binary log is known only from the snapshots";
        wanted.push(("BINLOG MONITOR", None, false, why));
    } else {
        wanted.push(("REPLICATION CLIENT", None, false, "without it the position in the binary log is not known"));
        wanted.push(("BACKUP_ADMIN", None, false, "without it tables may be changed while they are read"));
        wanted.push(("SHOW_ROUTINE", None, false, "without it routines of other users cannot be read"));
    }
    for database in databases {
        for (right, why) in [
            ("SELECT", "rows are read"),
            ("SHOW VIEW", "views are read"),
            ("TRIGGER", "triggers are read"),
            ("EVENT", "events are read"),
        ] {
            wanted.push((right, Some(database.clone()), true, why));
        }
    }
    wanted
}

/// The rights of a user, as `SHOW GRANTS` has them.
struct Rights(Vec<String>);

impl Rights {
    /// Whether a right is given in a database, or everywhere.
    fn has(&self, right: &str, database: Option<&str>) -> bool {
        self.0.iter().any(|grant| {
            let found = tokens(grant);
            let Some(on) = found.iter().position(|token| token.is("ON")) else { return false };
            let given: Vec<String> = grant[..found[on].at]
                .trim_start_matches("GRANT ")
                .split(',')
                .map(|right| right.trim().to_ascii_uppercase())
                .collect();
            let place = found.get(on + 1);
            let is_place = match (place, database) {
                (Some(place), _) if place.text == "*" => true,
                (Some(place), Some(database)) => place.name().is_some_and(|name| fits(&name, database)),
                _ => false,
            };
            // A right on one table is none in the database.
            let is_whole = found.get(on + 3).is_some_and(|token| token.text == "*");
            is_place
                && is_whole
                && given.iter().any(|given| given == right || given == "ALL PRIVILEGES" || given == "ALL")
        })
    }
}

/// Whether the pattern of a right fits a database: `_` and `%` stand for something unless a backslash
/// comes before them.
fn fits(pattern: &str, database: &str) -> bool {
    let mut plain = String::new();
    let mut chars = pattern.chars().peekable();
    let mut like = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let next = chars.next().unwrap_or('\\');
                plain.push(next);
                like.push(next);
            }
            '%' => like.push('*'),
            '_' => like.push('?'),
            c => {
                plain.push(c);
                like.push(c);
            }
        }
    }
    plain == database || kronos_core::matches(&like, database)
}

/// What of the server's settings the user should know.
async fn server_notes(session: &mut Session) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let what = "ask for the server's settings";
    let (log, format, row, infile): (bool, String, String, bool) = session
        .row(what, "SELECT @@global.log_bin, @@global.binlog_format, @@global.binlog_row_image, @@global.local_infile")
        .await?;
    if !log {
        notes.push("the server keeps no binary log (log_bin): a backup has no position in it".to_owned());
    } else if format != "ROW" {
        notes.push(format!("binlog_format is {format}: what is replayed from the binary log may differ; ROW does not"));
    } else if row != "FULL" {
        notes.push(format!("binlog_row_image is {row}; some tools want FULL"));
    }
    if !infile {
        notes.push("local_infile is off: a restore to this server has to use INSERT, which is slower".to_owned());
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_read_as_the_server_writes_them() {
        let rights = Rights(vec![
            "GRANT RELOAD, BINLOG MONITOR ON *.* TO `me`@`%` IDENTIFIED BY PASSWORD 'x'".to_owned(),
            "GRANT SELECT, SHOW VIEW ON `my\\_shop`.* TO `me`@`%`".to_owned(),
            "GRANT ALL PRIVILEGES ON `te%`.* TO `me`@`%`".to_owned(),
            "GRANT EVENT ON `one`.`t` TO `me`@`%`".to_owned(),
        ]);
        assert!(rights.has("RELOAD", None) && rights.has("RELOAD", Some("x")) && !rights.has("SELECT", None));
        assert!(rights.has("SELECT", Some("my_shop")) && !rights.has("SELECT", Some("myxshop")));
        assert!(rights.has("TRIGGER", Some("test")) && !rights.has("EVENT", Some("one")));
    }
}
