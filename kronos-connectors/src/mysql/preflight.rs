//! What can be known before a backup: which rights are missing, each with the statement that grants
//! it, and what of the server's settings makes a backup worse than it could be.

use kronos_core::{Preflight, Result};

use super::catalog;
use super::connect::{Server, Session};
use super::names::{ident, shown};
use super::rewrite::tokens;
use super::settings::MysqlSettings;

pub(super) async fn preflight(settings: &MysqlSettings) -> Result<Preflight> {
    let mut found = Preflight::default();
    let (chosen, notices) = settings.chosen(&[]).await?;
    found.notes.extend(notices);
    let mut session = settings.open().await?;
    let rights = Rights::of(&mut session).await?;
    for useful in useful(session.server) {
        if !useful.by.iter().any(|(right, place)| rights.has(right, *place)) {
            found.notes.push(format!("GRANT {}: {}", useful.grant, useful.why));
        }
    }
    let unseen = rights.unseen(session.server, &chosen);
    found.missing.extend(unseen.needed);
    found.notes.extend(unseen.wanted);
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

/// Rights for want of which the server shows less than there is, and does not say so.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    /// Without these a backup is refused.
    pub needed: Vec<String>,
    /// Without these it says what it may lack.
    pub wanted: Vec<String>,
}

pub(super) async fn unseen(session: &mut Session, databases: &[String]) -> Result<Unseen> {
    Ok(Rights::of(session).await?.unseen(session.server, databases))
}

/// Where a right is given: everywhere, or in a table of a database, which may be any of it.
type On = Option<(&'static str, &'static str)>;

/// A right that a backup can do without.
struct Useful {
    grant: &'static str,
    /// Each of these will do.
    by: Vec<(&'static str, On)>,
    /// What is worse without it.
    why: &'static str,
}

fn useful(server: Server) -> Vec<Useful> {
    let right = |grant, by, why| Useful { grant, by, why };
    let users = right(
        "SELECT ON `mysql`.*",
        vec![("SELECT", Some(("mysql", "")))],
        "without it users and their rights are not backed up",
    );
    if !server.is_mariadb {
        return vec![
            right(
                "RELOAD ON *.*",
                vec![("RELOAD", None), ("FLUSH_TABLES", None)],
                "without it commits cannot be held back, and the backup of a server that commits all the time fails; where \
                 positions cannot be compared either, one connection reads everything",
            ),
            users,
            right(
                "REPLICATION CLIENT ON *.*",
                vec![("REPLICATION CLIENT", None), ("SUPER", None)],
                "without it the position in the binary log is not known when commits are held back",
            ),
            right(
                "BACKUP_ADMIN ON *.*",
                vec![("BACKUP_ADMIN", None)],
                "without it positions cannot be compared: commits are held back; and a table that is altered while the \
                 backup goes on makes it fail",
            ),
            right(
                "SELECT ON `performance_schema`.`log_status`",
                vec![("SELECT", Some(("performance_schema", "log_status")))],
                "without it positions cannot be compared: commits are held back",
            ),
        ];
    }
    // Before, who had SUPER had these too.
    let own =
        |name| if server.is_mariadb_since(11, 0) { vec![(name, None)] } else { vec![(name, None), ("SUPER", None)] };
    vec![
        right(
            "RELOAD ON *.*",
            vec![("RELOAD", None)],
            "without it commits are not held back, and one connection reads everything",
        ),
        users,
        right(
            "BINLOG MONITOR ON *.*",
            own("BINLOG MONITOR"),
            "without it the position in the binary log is not known when commits are held back",
        ),
        right(
            "BINLOG ADMIN ON *.*",
            own("BINLOG ADMIN"),
            "without it tables that were read stay locked against ALTER TABLE and the like until the backup ends",
        ),
    ]
}

/// The rights of a user, as `SHOW GRANTS` has them.
pub(super) struct Rights(Vec<String>);

impl Rights {
    pub(super) async fn of(session: &mut Session) -> Result<Self> {
        let what = "ask for the user's rights";
        let mut ask = "SHOW GRANTS".to_owned();
        if !session.server.is_mariadb {
            // Those of roles are not shown otherwise.
            let roles: String = session.value(what, "SELECT CURRENT_ROLE()").await?;
            if roles != "NONE" {
                ask = format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}");
            }
        }
        let grants: Vec<(String,)> = session.rows(what, &ask).await?;
        Ok(Self(grants.into_iter().map(|(grant,)| grant).collect()))
    }

    fn unseen(&self, server: Server, databases: &[String]) -> Unseen {
        let mut unseen = Unseen::default();
        for database in databases {
            for (right, why) in [
                ("SELECT", "rows are read"),
                ("SHOW VIEW", "views are read"),
                ("TRIGGER", "triggers are read"),
                ("EVENT", "events are read"),
            ] {
                if !self.has(right, Some((database, ""))) {
                    unseen.needed.push(format!("GRANT {right} ON {}.*: {why}", ident(database)));
                }
            }
            // Who sees the name of a routine, and not what it does, is told so when it is read.
            let sees_names = ["EXECUTE", "ALTER ROUTINE", "SHOW CREATE ROUTINE"];
            let grant = if server.is_mariadb { "SELECT ON `mysql`.`proc`" } else { "SHOW_ROUTINE ON *.*" };
            let sees_all = if server.is_mariadb {
                self.has("SELECT", Some(("mysql", "proc")))
            } else {
                self.has("SHOW_ROUTINE", None) || self.has("SELECT", None)
            };
            if !sees_all && !sees_names.iter().any(|right| self.has(right, Some((database, "")))) {
                let database = shown(database);
                unseen
                    .wanted
                    .push(format!("{database}: routines that the user may not see are not backed up: GRANT {grant}"));
            }
        }
        unseen
    }

    /// Whether a right is given everywhere, in a database, or on a table of it.
    pub(super) fn has(&self, right: &str, place: Option<(&str, &str)>) -> bool {
        let is_named =
            |begin: &str| self.0.iter().any(|line| line.starts_with(begin) && names(line, begin, right, place));
        // MySQL can give a right everywhere but in a database.
        is_named("GRANT ") && !(place.is_some() && is_named("REVOKE "))
    }
}

/// Whether a line of `SHOW GRANTS` is about a right in a place.
fn names(line: &str, begin: &str, right: &str, place: Option<(&str, &str)>) -> bool {
    let found = tokens(line);
    let Some(on) = found.iter().position(|token| token.is("ON")) else { return false };
    let rights = line[begin.len()..found[on].at].split(',').map(|right| right.trim().to_ascii_uppercase());
    let is_place = match (found.get(on + 1), place) {
        (Some(given), _) if given.text == "*" => true,
        (Some(given), Some((database, _))) => given.name().is_some_and(|name| fits(&name, database)),
        _ => false,
    };
    // A right on one table is none in the database.
    let is_table = |name: String| place.is_some_and(|(_, table)| !table.is_empty() && name == table);
    let is_whole = found.get(on + 3).is_some_and(|token| token.text == "*" || token.name().is_some_and(is_table));
    let all = ["ALL PRIVILEGES", "ALL"];
    is_place && is_whole && rights.into_iter().any(|given| given == right || all.contains(&given.as_str()))
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
        let of = |database: &'static str| Some((database, ""));
        assert!(rights.has("RELOAD", None) && rights.has("RELOAD", of("x")) && !rights.has("SELECT", None));
        assert!(rights.has("SELECT", of("my_shop")) && !rights.has("SELECT", of("myxshop")));
        assert!(rights.has("TRIGGER", of("test")) && !rights.has("EVENT", of("one")));
        assert!(rights.has("EVENT", Some(("one", "t"))) && !rights.has("EVENT", Some(("one", "u"))));
        let but = Rights(vec![
            "GRANT SELECT ON *.* TO `me`@`%`".to_owned(),
            "REVOKE SELECT ON `one`.* FROM `me`@`%`".to_owned(),
        ]);
        assert!(but.has("SELECT", of("two")) && !but.has("SELECT", of("one")));
        assert_eq!(but.unseen(Server { is_mariadb: true, version: (10, 11, 0) }, &["two".to_owned()]).needed.len(), 3);
    }
}
