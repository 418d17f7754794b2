//! Functions that are known: those that only read, and those that do more.
//!
//! A function is known by its name, if no schema but the engine's own is given. One that someone made
//! with the name of the engine's own and other types of parameters cannot be told from it here.

mod mysql;
mod postgres;
mod sqlite;

use kronos_core::inspect::{Effect, Severity};
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use super::dialect::Language;
use super::found::{Found, shown};

/// Names in lower case, between blanks.
type Names = &'static str;

/// The functions of an engine by what they do. Any other is not known.
struct Known {
    /// Nothing but to compute and to read.
    reading: Names,
    /// They change the session, wait, or lock.
    session: Names,
    /// They write to the database.
    writing: Names,
    /// They run a text as a statement.
    running: Names,
    /// They read or write files of the server, or command it, other sessions or other servers.
    server: Names,
    /// The same, by what their names begin with.
    server_families: &'static [&'static str],
}

impl Language {
    fn known(self) -> &'static Known {
        match self {
            Self::Postgres => &postgres::KNOWN,
            Self::MySql => &mysql::KNOWN,
            Self::Sqlite => &sqlite::KNOWN,
        }
    }
}

fn is_in(names: Names, name: &str) -> bool {
    names.split_ascii_whitespace().any(|known| known == name)
}

/// Says of a call what it does. `bare` is one without arguments.
pub(super) fn judge(language: Language, name: &ObjectName, bare: bool, found: &mut Found) {
    let known = language.known();
    let text = shown(&name.to_string());
    let Some(own) = own_name(language, name) else {
        let last = name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.to_lowercase());
        match last {
            Some(last) if commands_server(language, &last) => server(&text, found),
            Some(last) if is_in(known.running, &last) => running(&text, found),
            _ => unknown(&text, found),
        }
        return;
    };
    if commands_server(language, &own) {
        server(&text, found);
    } else if is_in(known.running, &own) {
        running(&text, found);
    } else if is_in(known.writing, &own) {
        found.add(Severity::Medium, Effect::Writes, format!("the function {text} writes"));
    } else if bare && own == "last_insert_id" {
        // With an argument it sets what it gives.
    } else if is_in(known.session, &own) {
        found.add(
            Severity::Medium,
            Effect::Session,
            format!("the function {text} changes the session, waits or locks"),
        );
    } else if !is_in(known.reading, &own) {
        unknown(&text, found);
    }
}

/// Whether a function of this name, in lower case, has to do with files or with the server itself.
pub(super) fn commands_server(language: Language, name: &str) -> bool {
    let known = language.known();
    is_in(known.server, name) || known.server_families.iter().any(|family| name.starts_with(family))
}

/// Whether a name is MySQL's own function only if its parenthesis follows at once.
pub(super) fn must_not_stand_apart(name: &str) -> bool {
    is_in(mysql::CLOSE, name)
}

/// Whether a relation is one of PostgreSQL's own that reads files of the server.
pub(super) fn is_of_files(name: &ObjectName) -> bool {
    own_name(Language::Postgres, name).is_some_and(|own| is_in(postgres::FILES, &own))
}

/// Whether PostgreSQL itself reads and writes values of a type.
pub(super) fn is_own_type(name: &ObjectName) -> bool {
    own_name(Language::Postgres, name).is_some_and(|own| is_in(postgres::TYPES, &own))
}

/// The name of what can only be the engine's own.
fn own_name(language: Language, name: &ObjectName) -> Option<String> {
    let idents: Option<Vec<&Ident>> = name.0.iter().map(ObjectNamePart::as_ident).collect();
    let folded = |ident: &Ident| match language {
        Language::Postgres if ident.quote_style.is_some() => Some(ident.value.clone()),
        Language::MySql if ident.quote_style.is_some() => None,
        _ => Some(ident.value.to_ascii_lowercase()),
    };
    match idents?.as_slice() {
        [name] => folded(name),
        [schema, name] if language == Language::Postgres && folded(schema).as_deref() == Some("pg_catalog") => {
            folded(name)
        }
        _ => None,
    }
}

fn unknown(text: &str, found: &mut Found) {
    found.add(Severity::Medium, Effect::Unknown, format!("the function {text} is not known to only read"));
}

fn running(text: &str, found: &mut Found) {
    found.add(Severity::High, Effect::Unknown, format!("the function {text} runs a text as a statement"));
}

fn server(text: &str, found: &mut Found) {
    found.add(
        Severity::Critical,
        Effect::Administers,
        format!("the function {text} reads or writes files of the server, or commands it"),
    );
}
