//! Roles and tablespaces out of a script of `pg_dumpall --globals-only`: those that are missing are
//! made, those that exist are left as they are.

use std::collections::BTreeSet;

use kronos_core::Result;

use super::connect::Session;
use super::names::ident;
use super::statements::{Word, statements, words};

/// Roles and tablespaces that were made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Made {
    pub roles: Vec<String>,
    pub tablespaces: Vec<String>,
    pub warnings: Vec<String>,
}

/// What of a script is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Only these; `None` is all of the server.
    pub roles: Option<&'a BTreeSet<String>>,
    pub tablespaces: bool,
}

/// What a statement is about.
#[derive(Debug, PartialEq, Eq)]
enum About {
    /// Makes a role.
    NewRole(String),
    /// Says something of a role.
    Role(String),
    /// Makes the second a member of the first.
    Member(String, String),
    NewTablespace(String),
    Tablespace(String),
    /// Lets a role set a parameter.
    Parameter(String),
    Session,
    Unknown,
}

/// Makes what is missing.
pub(super) async fn apply(session: &mut Session, script: &str, wanted: Wanted<'_>, made: &mut Made) -> Result<()> {
    let roles = names(session, "SELECT rolname::text FROM pg_catalog.pg_roles").await?;
    let tablespaces = names(session, "SELECT spcname::text FROM pg_catalog.pg_tablespace").await?;
    let is_wanted = |role: &String| wanted.roles.is_none_or(|roles| roles.contains(role));
    for statement in statements(script) {
        let new = |role: &String| made.roles.contains(role);
        let known = |role: &String| new(role) || roles.contains(role);
        let apply = match about(&words(statement)) {
            About::NewRole(role) => !roles.contains(&role) && is_wanted(&role),
            About::Role(role) | About::Parameter(role) => new(&role),
            About::Member(of, who) => (new(&of) || new(&who)) && known(&of) && known(&who),
            About::NewTablespace(name) => wanted.tablespaces && !tablespaces.contains(&name),
            About::Tablespace(name) => made.tablespaces.contains(&name),
            About::Session => false,
            About::Unknown => {
                made.warnings
                    .push(format!("a statement about the server is not known and was left out: {}", begin(statement)));
                false
            }
        };
        if !apply {
            continue;
        }
        // Who granted it may be nobody here: then it is whoever restores.
        let granted = granted_by(statement).filter(|(_, by)| !known(by));
        let statement = granted.map_or(statement, |(at, _)| statement[..at].trim_end());
        session
            .run("make roles and tablespaces", statement)
            .await
            .map_err(|e| e.with("statement", begin(statement)))?;
        match about(&words(statement)) {
            About::NewRole(role) => made.roles.push(role),
            About::NewTablespace(name) => made.tablespaces.push(name),
            _ => {}
        }
    }
    Ok(())
}

/// Where a statement says who granted it, and who that was.
fn granted_by(statement: &str) -> Option<(usize, String)> {
    let words = words(statement);
    let at = words.windows(2).position(|two| two[0].is("GRANTED") && two[1].is("BY"))?;
    Some((words[at].at, words.get(at + 2)?.name()))
}

/// Removes again what was made, as far as the server lets it.
pub(super) async fn undo(session: &mut Session, made: &Made) {
    for name in &made.tablespaces {
        let _ = session.run("remove a tablespace", &format!("DROP TABLESPACE IF EXISTS {}", ident(name))).await;
    }
    for name in made.roles.iter().rev() {
        let _ = session.run("remove a role", &format!("DROP ROLE IF EXISTS {}", ident(name))).await;
    }
}

async fn names(session: &mut Session, sql: &str) -> Result<BTreeSet<String>> {
    let rows: Vec<(String,)> = session.rows("ask for roles and tablespaces", sql).await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// The first words, which have no secrets in them.
fn begin(statement: &str) -> String {
    words(statement).iter().take(3).map(|word| word.text).collect::<Vec<_>>().join(" ")
}

fn about(words: &[Word<'_>]) -> About {
    let is = |at: usize, keyword: &str| words.get(at).is_some_and(|word| word.is(keyword));
    let name = |at: usize| words.get(at).map(Word::name).unwrap_or_default();
    let after = |keyword: &str| words.iter().position(|word| word.is(keyword)).map(|at| at + 1);
    match words.first() {
        Some(first) if first.is("SET") || first.is("SELECT") => About::Session,
        Some(first) if first.is("CREATE") && is(1, "ROLE") => About::NewRole(name(2)),
        Some(first) if first.is("CREATE") && is(1, "TABLESPACE") => About::NewTablespace(name(2)),
        Some(first) if first.is("ALTER") && is(1, "ROLE") => About::Role(name(2)),
        Some(first) if first.is("ALTER") && is(1, "TABLESPACE") => About::Tablespace(name(2)),
        Some(first) if first.is("COMMENT") && is(2, "ROLE") => About::Role(name(3)),
        Some(first) if first.is("COMMENT") && is(2, "TABLESPACE") => About::Tablespace(name(3)),
        Some(first) if first.is("SECURITY") => match (after("ROLE"), after("TABLESPACE")) {
            (Some(at), _) => About::Role(name(at)),
            (None, Some(at)) => About::Tablespace(name(at)),
            (None, None) => About::Unknown,
        },
        Some(first) if (first.is("GRANT") || first.is("REVOKE")) && after("ON").is_some() => {
            let to = after("TO").or_else(|| after("FROM")).map(name).unwrap_or_default();
            match (after("TABLESPACE"), after("PARAMETER")) {
                (Some(at), _) => About::Tablespace(name(at)),
                (None, Some(_)) => About::Parameter(to),
                (None, None) => About::Unknown,
            }
        }
        Some(first) if first.is("GRANT") && is(2, "TO") => About::Member(name(1), name(3)),
        _ => About::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_granted_is_found_at_the_end() {
        let statement = "GRANT \"granted by\" TO b WITH ADMIN OPTION GRANTED BY \"C c\"";
        let (at, by) = granted_by(statement).unwrap();
        assert_eq!((&statement[..at], by.as_str()), ("GRANT \"granted by\" TO b WITH ADMIN OPTION ", "C c"));
        assert_eq!(granted_by("GRANT a TO b"), None);
    }

    #[test]
    fn every_form_of_statement_is_known() {
        let about = |statement: &str| about(&words(statement));
        let name = |name: &str| name.to_owned();
        for (statement, expected) in [
            ("CREATE ROLE \"a b\"", About::NewRole(name("a b"))),
            ("ALTER ROLE app WITH SUPERUSER PASSWORD 'SCRAM; ON x'", About::Role(name("app"))),
            ("ALTER ROLE app SET search_path TO 'a', 'b'", About::Role(name("app"))),
            ("GRANT app TO \"on\" WITH ADMIN OPTION GRANTED BY postgres", About::Member(name("app"), name("on"))),
            ("COMMENT ON ROLE app IS 'ON TABLESPACE'", About::Role(name("app"))),
            ("CREATE TABLESPACE fast OWNER app LOCATION '/x'", About::NewTablespace(name("fast"))),
            ("GRANT ALL ON TABLESPACE fast TO app", About::Tablespace(name("fast"))),
            ("GRANT SET ON PARAMETER work_mem TO app", About::Parameter(name("app"))),
            ("SECURITY LABEL FOR x ON ROLE app IS 'y'", About::Role(name("app"))),
            ("SET client_encoding = 'UTF8'", About::Session),
            ("DROP ROLE app", About::Unknown),
        ] {
            assert_eq!(about(statement), expected, "{statement}");
        }
    }
}
