//! Names and values: quoted for SQL, and for people.

use kronos_core::{Error, ErrorKind, Result};

/// Databases that belong to the server.
const OWN: [&str; 4] = ["mysql", "information_schema", "performance_schema", "sys"];
/// The longest name of a database, in characters.
const LONGEST: usize = 64;

/// An identifier in SQL, always quoted.
pub(super) fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// `` `database`.`name` ``.
pub(super) fn qualified(database: &str, name: &str) -> String {
    format!("{}.{}", ident(database), ident(name))
}

/// Identifiers with commas between.
pub(super) fn idents<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(|name| ident(name)).collect::<Vec<_>>().join(", ")
}

/// A string in SQL, for every `sql_mode`: as its bytes in UTF-8.
pub(super) fn literal(text: &str) -> String {
    if text.is_empty() { "''".to_owned() } else { format!("_utf8mb4 0x{}", hex::encode(text)) }
}

/// A string in SQL for places that take nothing but a plain one. The session's `sql_mode` has no
/// `NO_BACKSLASH_ESCAPES`.
pub(super) fn plain_literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// As people write it: quoted only where it must be. Two names never become the same.
pub(super) fn shown(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain { name.to_owned() } else { ident(name) }
}

/// `user@host` for people.
pub(super) fn account(user: &str, host: &str) -> String {
    format!("{}@{}", shown(user), shown(host))
}

/// Whether a database belongs to the server.
pub(super) fn is_of_server(name: &str) -> bool {
    OWN.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// The name of a database that stands beside another for a while.
pub(super) fn beside(name: &str, token: &str) -> String {
    let suffix = format!("_kronos_{token}");
    let kept: String = name.chars().take(LONGEST - suffix.len()).collect();
    kept + &suffix
}

/// Whether a name is one that [`beside`] gives, and the token in it.
pub(super) fn token_of<'a>(name: &str, other: &'a str) -> Option<&'a str> {
    let (_, token) = other.rsplit_once("_kronos_")?;
    let token = token.strip_prefix("old_").unwrap_or(token);
    let is_token = token.len() == 16 && token.bytes().all(|b| b.is_ascii_hexdigit());
    let fits = [token.to_owned(), format!("old_{token}")].iter().any(|token| beside(name, token) == other);
    (is_token && fits).then_some(token)
}

/// Refuses what no server takes as a name.
pub(super) fn check(name: &str) -> Result<()> {
    let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message).with("database", name.escape_debug()));
    match name {
        "" => wrong("the name of a database is empty"),
        _ if name.contains('\0') => wrong("the name of a database has a NUL in it"),
        _ if name.ends_with(' ') => wrong("the name of a database ends with a space"),
        _ if name.chars().any(|c| c > '\u{ffff}') => wrong("the name of a database has a character beyond the BMP"),
        _ if name.chars().count() > LONGEST => wrong("the name of a database is longer than 64 characters"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_gets_out_of_its_quotes() {
        assert_eq!(ident("a`b"), "`a``b`");
        assert_eq!(literal("it's"), "_utf8mb4 0x69742773");
        assert_eq!(plain_literal("it's \\"), r"'it''s \\'");
        assert_eq!((shown("orders_2"), shown("a.b")), ("orders_2".into(), "`a.b`".into()));
    }

    #[test]
    fn names_beside_are_known_again() {
        let token = "0123456789abcdef";
        for name in ["shop", &"ü".repeat(64), "a_kronos_b"] {
            for token_text in [token.to_owned(), format!("old_{token}")] {
                let other = beside(name, &token_text);
                assert!(other.chars().count() <= 64);
                assert_eq!(token_of(name, &other), Some(token), "{other}");
            }
        }
        assert_eq!(token_of("shop", "shopping_kronos_0123456789abcdef"), None);
        assert_eq!(token_of("shop", "shop_kronos_mine"), None);
    }

    #[test]
    fn what_no_server_takes_is_refused() {
        assert!(
            check("").is_err() && check("a\0b").is_err() && check("a ").is_err() && check(&"x".repeat(65)).is_err()
        );
        for good in ["-x", "a b", "$(x)", "a\nb", "ü"] {
            assert!(check(good).is_ok(), "{good}");
        }
    }
}
