//! What the target's server must allow a restore, and whether the target is still free for it.

use kronos_core::{Error, ErrorKind, RestoreRequest, Result};

use super::connect::Session;
use super::ddl;
use super::names::{qualified, shown};
use super::target::{Planned, look, some};

/// Lets tables be as they were: without a primary key, and with options that have no effect.
pub(super) async fn keep_as_is(session: &mut Session) -> Result<()> {
    let what = "prepare the session";
    // Not every user may do this, few servers need it, and not all know each of them.
    for setting in ["innodb_strict_mode", "sql_require_primary_key", "sql_generate_invisible_primary_key"] {
        let _ = session.run(what, &format!("SET SESSION {setting} = OFF")).await;
    }
    if !is_on(session, "sql_generate_invisible_primary_key").await? {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::PermissionDenied,
        "the server would give tables without a primary key one that the backup does not have",
    )
    .with("hint", hint("sql_generate_invisible_primary_key")))
}

fn hint(setting: &str) -> String {
    format!("SET GLOBAL {setting} = OFF; or GRANT SESSION_VARIABLES_ADMIN ON *.* to who restores")
}

async fn is_on(session: &mut Session, setting: &str) -> Result<bool> {
    let sql = format!("SHOW SESSION VARIABLES LIKE '{}'", setting.replace('_', "\\_"));
    let found: Vec<(String, String)> = session.rows("prepare the session", &sql).await?;
    Ok(found.iter().any(|(_, value)| value == "ON"))
}

/// Fails if the server takes no table without a primary key, and one of these has none.
pub(super) async fn check_keys(session: &mut Session, database: &str, tables: &[(&str, String)]) -> Result<()> {
    let Some((without, _)) = tables.iter().find(|(_, create)| !ddl::has_primary_key(create)) else { return Ok(()) };
    for (setting, may_be_given) in [("sql_require_primary_key", true), ("innodb_force_primary_key", false)] {
        if is_on(session, setting).await? {
            let hint = if may_be_given { hint(setting) } else { format!("SET GLOBAL {setting} = OFF") };
            return Err(Error::new(ErrorKind::PermissionDenied, "the server takes no table without a primary key")
                .with("table", qualified(database, without))
                .with("hint", hint));
        }
    }
    Ok(())
}

/// Fails if somebody else has made the target since it was looked at, or has put something into it
/// that may not be replaced.
pub(super) async fn check_target(session: &mut Session, planned: &Planned, request: &RestoreRequest) -> Result<()> {
    let mut now = planned.clone();
    look(session, &mut now).await?;
    if !planned.exists && now.exists {
        return Err(made_meanwhile(&now.to));
    }
    if request.replace || now.there.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::AlreadyExists, "something was put into the target while the restore went on")
        .with("database", shown(&now.to))
        .with("has", some(&now.there)))
}

/// The target is somebody else's.
pub(super) fn made_meanwhile(database: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, "somebody else has made the database while the restore went on")
        .with("database", shown(database))
}
