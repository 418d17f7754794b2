//! Names of databases and collections: which are the server's own, which Kronos makes for a while,
//! and how they are shown.

use kronos_core::{Error, ErrorKind, Result};

/// Databases that belong to the server.
const OWN: [&str; 3] = ["admin", "config", "local"];
/// The longest name of a database, in bytes.
const LONGEST: usize = 63;
/// What stands beside others for a while begins with this, in the database in which it is made.
const BESIDE: &str = "kronos-restore.";
/// The data of a time series lies in a collection whose name begins with this.
pub(super) const BUCKETS: &str = "system.buckets.";
/// Functions that are stored on the server.
pub(super) const FUNCTIONS: &str = "system.js";

/// Whether a database belongs to the server.
pub(super) fn is_of_server(name: &str) -> bool {
    OWN.contains(&name)
}

/// Whether a collection is not the users' own: what the server keeps in it comes from elsewhere.
pub(super) fn is_internal(collection: &str) -> bool {
    collection.starts_with("system.") && collection != FUNCTIONS
}

/// A collection as people write it after its database: quoted only where it must be, so that two
/// names never become the same, nor one that of a part of another.
pub(super) fn shown(collection: &str) -> String {
    let is_plain = |c: char| !c.is_control() && !['/', '"', '`'].contains(&c);
    if collection.chars().all(is_plain) && !collection.is_empty() {
        collection.to_owned()
    } else {
        format!("{collection:?}")
    }
}

/// `database.collection` for people.
pub(super) fn qualified(database: &str, collection: &str) -> String {
    format!("{database}.{}", shown(collection))
}

/// The journal of a restore, which tells that there is one.
pub(super) fn journal(token: &str) -> String {
    format!("{BESIDE}{token}")
}

/// The token of a restore, out of the name of its journal.
pub(super) fn token_of(collection: &str) -> Option<&str> {
    let token = collection.strip_prefix(BESIDE)?;
    is_token(token).then_some(token)
}

/// What is being made, under its number.
pub(super) fn new(token: &str, number: usize) -> String {
    format!("{BESIDE}{token}.new.{number}")
}

/// What was there before.
pub(super) fn old(token: &str, number: usize) -> String {
    format!("{BESIDE}{token}.old.{number}")
}

/// Whether a restore has made this collection for itself, and its token.
pub(super) fn is_beside(collection: &str) -> Option<&str> {
    let rest = collection.strip_prefix(BESIDE)?;
    let (token, kind) = rest.split_once('.').unwrap_or((rest, ""));
    let number = kind.strip_prefix("new.").or_else(|| kind.strip_prefix("old."));
    let fits = kind.is_empty() || number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    (is_token(token) && fits).then_some(token)
}

fn is_token(token: &str) -> bool {
    token.len() == 16 && token.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Refuses what no server takes as the name of a database.
pub(super) fn check(name: &str) -> Result<()> {
    let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message).with("database", name.escape_debug()));
    match name {
        "" => wrong("the name of a database is empty"),
        "$external" => wrong("this is no database"),
        _ if name.chars().any(|c| "/\\. \"$\0".contains(c)) => {
            wrong("the name of a database has a character that no server takes")
        }
        _ if name.len() > LONGEST => wrong("the name of a database is longer than 63 bytes"),
        _ => Ok(()),
    }
}

/// Refuses what no server takes as the name of a collection.
pub(super) fn check_collection(name: &str) -> Result<()> {
    if name.is_empty() || name.contains('\0') || name.len() > 255 {
        return Err(super::error::corrupt("the backup has a collection of a name that cannot be")
            .with("collection", name.escape_debug()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_are_never_shown_as_one() {
        assert_eq!((shown("orders"), shown("a.b c$")), ("orders".into(), "a.b c$".into()));
        assert_eq!(shown("orders/001"), "\"orders/001\"");
        assert_eq!(shown("\"orders/001\""), r#""\"orders/001\"""#);
        assert_ne!(shown("a\nb"), shown("a\\nb"));
    }

    #[test]
    fn names_beside_are_known_again() {
        let token = "0123456789abcdef";
        for name in [journal(token), new(token, 3), old(token, 12)] {
            assert_eq!(is_beside(&name), Some(token), "{name}");
        }
        assert_eq!(token_of(&journal(token)), Some(token));
        assert_eq!((token_of(&new(token, 0)), is_beside("kronos-restore.mine")), (None, None));
        assert_eq!(is_beside("kronos-restore.0123456789abcdef.other"), None);
    }

    #[test]
    fn what_no_server_takes_is_refused() {
        for bad in ["", "a.b", "a/b", "a b", "$x", "a\0", &"x".repeat(64)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!(check("shop-2").is_ok() && check("ü").is_ok());
        assert!(is_internal("system.buckets.x") && !is_internal("system.js") && !is_internal("systems"));
    }
}
