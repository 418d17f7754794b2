//! Which entries of the oplog are kept: it tells of all databases of the server.

use kronos_core::Result;
use mongodb::bson::error::Error;
use mongodb::bson::{RawBsonRef, RawDocument};

use super::super::error::corrupt;
use super::{Scope, transaction};

/// Documents and definitions of the databases that are followed, and what transactions are told by, which
/// stands under another name: those that have something of them, and the parts of one, whatever they
/// have. Not what only tells that time passes.
pub(super) fn is_wanted(entry: &RawDocument, scope: &Scope) -> Result<bool> {
    let has = |namespace: &str| scope.has(namespace.split_once('.').map_or(namespace, |(database, _)| database));
    match entry.get_str("op").map_err(wrong)? {
        "n" => return Ok(false),
        "c" => {}
        _ => return Ok(has(entry.get_str("ns").map_err(wrong)?)),
    }
    let command = entry.get_document("o").map_err(wrong)?;
    match command.iter().next().transpose().map_err(wrong)? {
        Some((name, RawBsonRef::Array(inner))) if name.as_str() == "applyOps" && !is_part(entry, command) => {
            for one in inner {
                let one = one.map_err(wrong)?.as_document().ok_or_else(strange)?;
                if is_wanted(one, scope)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Some((name, _)) if ["applyOps", "commitTransaction", "abortTransaction"].contains(&name.as_str()) => Ok(true),
        // Renaming reaches across.
        Some((name, RawBsonRef::String(from))) if name.as_str() == "renameCollection" => {
            Ok(has(from) || has(command.get_str("to").map_err(wrong)?))
        }
        _ => Ok(has(entry.get_str("ns").map_err(wrong)?)),
    }
}

/// Whether there is more of the same transaction.
fn is_part(entry: &RawDocument, command: &RawDocument) -> bool {
    let is = |name: &str| command.get_bool(name).unwrap_or(false);
    is("partialTxn") || is("prepare") || transaction::before(entry).is_some()
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn wrong(_: Error) -> kronos_core::Error {
    strange()
}

fn strange() -> kronos_core::Error {
    corrupt("an entry of the oplog cannot be read")
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{RawDocumentBuf, rawdoc};

    use super::*;

    #[test]
    fn documents_of_what_is_followed_are_kept() {
        let scope = Scope { databases: Some(vec!["shop".to_owned()]), only_in_oplog: false };
        let wanted = |op: &str, ns: &str, scope: &Scope| is_wanted(&rawdoc! { "op": op, "ns": ns }, scope).unwrap();
        assert!(wanted("i", "shop.a.b", &scope));
        assert!(!wanted("i", "other.a", &scope) && !wanted("n", "", &scope) && !wanted("u", "shopping.a", &scope));
        assert!(wanted("i", "other.a", &Scope::default()) && !wanted("i", "config.transactions", &Scope::default()));
    }

    #[test]
    fn of_commands_those_that_may_concern_it() {
        let scope = Scope { databases: Some(vec!["shop".to_owned()]), only_in_oplog: false };
        let wanted = |ns: &str, o: RawDocumentBuf| is_wanted(&rawdoc! { "op": "c", "ns": ns, "o": o }, &scope).unwrap();
        let foreign = || rawdoc! { "op": "i", "ns": "other.a", "o": { "_id": 1 } };
        let own = || rawdoc! { "op": "d", "ns": "shop.a", "o": { "_id": 1 } };
        for o in [
            rawdoc! { "applyOps": [foreign(), own()] },
            rawdoc! { "applyOps": [{ "op": "c", "ns": "admin.$cmd", "o": { "applyOps": [own()] } }] },
            rawdoc! { "applyOps": [foreign()], "partialTxn": true },
            rawdoc! { "applyOps": [foreign()], "prepare": true },
            rawdoc! { "commitTransaction": 1 },
            rawdoc! { "abortTransaction": 1 },
        ] {
            assert!(wanted("admin.$cmd", o.clone()), "{o:?}");
        }
        assert!(!wanted("admin.$cmd", rawdoc! { "applyOps": [foreign(), foreign()] }));
        let before = rawdoc! { "ts": mongodb::bson::Timestamp { time: 1, increment: 1 } };
        let last = rawdoc! {
            "op": "c", "ns": "admin.$cmd", "lsid": { "id": 1 }, "prevOpTime": before, "o": { "applyOps": [foreign()] },
        };
        assert!(is_wanted(&last, &scope).unwrap());
        assert!(wanted("shop.$cmd", rawdoc! { "conjure": 1 }) && !wanted("other.$cmd", rawdoc! { "conjure": 1 }));
        assert!(!wanted("admin.$cmd", rawdoc! { "conjure": 1 }) && !wanted("other.$cmd", rawdoc! {}));
        let rename = |from: &str, to: &str| wanted("other.$cmd", rawdoc! { "renameCollection": from, "to": to });
        assert!(rename("shop.a", "other.a") && rename("other.a", "shop.a") && !rename("other.a", "other.b"));
    }
}
