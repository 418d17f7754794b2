//! What is kept of the oplog: it tells of all databases of the server.

use std::borrow::Cow;

use kronos_core::Result;
use mongodb::bson::error::Error;
use mongodb::bson::raw::{CStr, RawArray, RawArrayBuf, RawBson, cstr};
use mongodb::bson::{RawBsonRef, RawDocument, RawDocumentBuf};

use super::super::error::corrupt;
use super::{Scope, transaction};

/// Documents and definitions of the databases that are followed, and what transactions are told by, which
/// stands under another name: what an entry has of those databases, and the parts of a transaction, whatever
/// they have. Not what only tells that time passes.
pub(super) fn kept<'a>(entry: &'a RawDocument, scope: &Scope) -> Result<Option<Cow<'a, RawDocument>>> {
    let whole = |is_wanted: bool| Ok(is_wanted.then_some(Cow::Borrowed(entry)));
    let has = |namespace: &str| scope.has(namespace.split_once('.').map_or(namespace, |(database, _)| database));
    match entry.get_str("op").map_err(wrong)? {
        "n" => return Ok(None),
        "c" => {}
        _ => return whole(has(entry.get_str("ns").map_err(wrong)?)),
    }
    let command = entry.get_document("o").map_err(wrong)?;
    match command.iter().next().transpose().map_err(wrong)? {
        Some((name, RawBsonRef::Array(all))) if name.as_str() == "applyOps" => {
            let Some(fewer) = fewer(all, scope)? else { return Ok(Some(Cow::Borrowed(entry))) };
            if fewer.is_empty() && !is_part(entry, command) {
                return Ok(None);
            }
            let command = with(command, cstr!("applyOps"), fewer)?;
            Ok(Some(Cow::Owned(with(entry, cstr!("o"), command)?)))
        }
        Some((name, _)) if ["applyOps", "commitTransaction", "abortTransaction"].contains(&name.as_str()) => {
            whole(true)
        }
        // Renaming reaches across.
        Some((name, RawBsonRef::String(from))) if name.as_str() == "renameCollection" => {
            whole(has(from) || has(command.get_str("to").map_err(wrong)?))
        }
        _ => whole(has(entry.get_str("ns").map_err(wrong)?)),
    }
}

/// Those that are kept, unless it is all of them as they are.
fn fewer(all: &RawArray, scope: &Scope) -> Result<Option<RawArrayBuf>> {
    let (mut some, mut is_changed) = (RawArrayBuf::new(), false);
    for one in all {
        let one = one.map_err(wrong)?.as_document().ok_or_else(strange)?;
        let kept = kept(one, scope)?;
        is_changed |= !matches!(kept, Some(Cow::Borrowed(_)));
        if let Some(one) = kept {
            some.push(one.into_owned());
        }
    }
    Ok(is_changed.then_some(some))
}

/// The same with another value in the place of this one.
fn with(document: &RawDocument, field: &CStr, value: impl Into<RawBson>) -> Result<RawDocumentBuf> {
    let (mut changed, mut value) = (RawDocumentBuf::new(), Some(value.into()));
    for one in document {
        let (name, old) = one.map_err(wrong)?;
        match value.take_if(|_| name == field) {
            Some(new) => changed.append(name, new),
            None => changed.append(name, old),
        }
    }
    Ok(changed)
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
    use mongodb::bson::rawdoc;

    use super::*;

    fn shop() -> Scope {
        Scope { databases: Some(vec!["shop".to_owned()]), only_in_oplog: false }
    }

    #[test]
    fn documents_of_what_is_followed_are_kept() {
        let wanted = |op: &str, ns: &str, scope: &Scope| {
            let entry = rawdoc! { "op": op, "ns": ns };
            let kept = kept(&entry, scope).unwrap();
            kept.inspect(|kept| assert_eq!(kept.as_bytes(), entry.as_bytes())).is_some()
        };
        let scope = shop();
        assert!(wanted("i", "shop.a.b", &scope));
        assert!(!wanted("i", "other.a", &scope) && !wanted("n", "", &scope) && !wanted("u", "shopping.a", &scope));
        assert!(wanted("i", "other.a", &Scope::default()) && !wanted("i", "config.transactions", &Scope::default()));
    }

    #[test]
    fn of_commands_those_that_may_concern_it() {
        let wanted = |ns: &str, o: RawDocumentBuf| {
            let entry = rawdoc! { "op": "c", "ns": ns, "o": o };
            let kept = kept(&entry, &shop()).unwrap();
            kept.inspect(|kept| assert_eq!(kept.as_bytes(), entry.as_bytes())).is_some()
        };
        assert!(wanted("admin.$cmd", rawdoc! { "commitTransaction": 1 }));
        assert!(wanted("admin.$cmd", rawdoc! { "abortTransaction": 1 }));
        assert!(wanted("shop.$cmd", rawdoc! { "conjure": 1 }) && !wanted("other.$cmd", rawdoc! { "conjure": 1 }));
        assert!(!wanted("admin.$cmd", rawdoc! { "conjure": 1 }) && !wanted("other.$cmd", rawdoc! {}));
        let rename = |from: &str, to: &str| wanted("other.$cmd", rawdoc! { "renameCollection": from, "to": to });
        assert!(rename("shop.a", "other.a") && rename("other.a", "shop.a") && !rename("other.a", "other.b"));
    }

    #[test]
    fn of_a_transaction_what_is_of_others_is_left_out() {
        let entry = |o: RawDocumentBuf| {
            rawdoc! { "lsid": { "id": 1 }, "op": "c", "ns": "admin.$cmd", "o": o, "ts": 7, "ts2": { "b": 1, "a": 2, "b": 3 } }
        };
        let kept = |o: RawDocumentBuf| kept(&entry(o), &shop()).unwrap().map(Cow::into_owned);
        let foreign = || rawdoc! { "op": "i", "ns": "other.a", "o": { "_id": 1 } };
        let own = || rawdoc! { "op": "d", "ns": "shop.a", "o": { "_id": 1 } };
        let group = |inner: RawDocumentBuf| rawdoc! { "op": "c", "ns": "admin.$cmd", "o": { "applyOps": [inner] } };

        let only_own = rawdoc! { "applyOps": [own(), own()], "count": 2 };
        assert_eq!(kept(only_own.clone()), Some(entry(only_own)));
        let mixed = rawdoc! { "applyOps": [foreign(), own(), foreign()], "count": 3 };
        assert_eq!(kept(mixed), Some(entry(rawdoc! { "applyOps": [own()], "count": 3 })));
        let nested = rawdoc! { "applyOps": [group(foreign()), group(own()), foreign()] };
        assert_eq!(kept(nested), Some(entry(rawdoc! { "applyOps": [group(own())] })));
        assert_eq!(kept(rawdoc! { "applyOps": [foreign(), group(foreign())] }), None);

        // A part is there, or the others are not whole.
        for mark in [cstr!("partialTxn"), cstr!("prepare")] {
            let part = kept(rawdoc! { "applyOps": [foreign()], mark: true });
            assert_eq!(part, Some(entry(rawdoc! { "applyOps": [], mark: true })));
        }
        let before = rawdoc! { "ts": mongodb::bson::Timestamp { time: 1, increment: 1 } };
        let last = |inner: RawArrayBuf| {
            let before = before.clone();
            rawdoc! { "op": "c", "ns": "admin.$cmd", "lsid": { "id": 1 }, "prevOpTime": before, "o": { "applyOps": inner } }
        };
        let some = super::kept(&last([foreign()].into_iter().collect()), &shop()).unwrap().map(Cow::into_owned);
        assert_eq!(some, Some(last(RawArrayBuf::new())));
    }
}
