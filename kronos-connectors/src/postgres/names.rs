//! Names: quoted for SQL, for connection strings, and for people.

use kronos_core::{Error, ErrorKind, Result};

/// An identifier in SQL, always quoted.
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `"schema"."name"`.
pub(super) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

/// A string in SQL, for sessions with `standard_conforming_strings`.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// As people write it: quoted only where it must be. Two names never become the same.
pub(super) fn shown(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain { name.to_owned() } else { ident(name) }
}

/// A connection string that names a database and nothing else, whatever the name looks like: the
/// tools take one with `=` or `://` in it for a connection string.
pub(super) fn conninfo(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The name of a table for the patterns of `pg_dump`, which stand for nothing else.
pub(super) fn pattern(schema: &str, name: &str) -> String {
    qualified(schema, name)
}

/// Refuses what no server takes as a name.
pub(super) fn check(name: &str) -> Result<()> {
    let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message).with("database", name.escape_debug()));
    match name {
        "" => wrong("the name of a database is empty"),
        _ if name.contains('\0') => wrong("the name of a database has a NUL in it"),
        // pg_restore, for one, ends with an error.
        _ if name.contains(['\n', '\r']) => {
            wrong("the name of a database has a line break in it, which PostgreSQL's own programs refuse")
        }
        _ if name.len() > 63 => wrong("the name of a database is longer than 63 bytes"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_gets_out_of_its_quotes() {
        assert_eq!(ident(r#"a"b"#), r#""a""b""#);
        assert_eq!(literal("it's \\"), r"'it''s \'");
        assert_eq!(conninfo(r"a'b\c host=evil"), r"dbname='a\'b\\c host=evil'");
        assert_eq!(
            (shown("orders_2"), shown("Orders"), shown("a.b")),
            ("orders_2".into(), "\"Orders\"".into(), "\"a.b\"".into())
        );
    }

    #[test]
    fn what_no_server_takes_is_refused() {
        assert!(
            check("").is_err() && check("a\0b").is_err() && check("a\nb").is_err() && check(&"x".repeat(64)).is_err()
        );
        for good in ["-x", "a b", "$(x)", "host=evil", "postgres://x", "ü"] {
            assert!(check(good).is_ok(), "{good}");
        }
    }
}
