//! What a server says of itself, and of the moment.

use kronos_core::Result;
use mongodb::Client;
use mongodb::bson::{Document, Timestamp, doc};

use super::super::error::{corrupt, failed};

/// What kind of server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Standalone,
    ReplicaSet,
    Router,
}

/// A server, as it answers `hello`.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) role: Role,
    pub(super) wire_version: i64,
    hello: Document,
}

impl Member {
    pub(super) async fn ask(client: &Client) -> Result<Self> {
        let hello = client.database("admin").run_command(doc! { "hello": 1 }).await;
        Ok(Self::of(hello.map_err(|e| failed(&e, "ask what the server is"))?))
    }

    fn of(hello: Document) -> Self {
        let role = match (hello.get_str("msg"), hello.get_str("setName")) {
            (Ok("isdbgrid"), _) => Role::Router,
            (_, Ok(_)) => Role::ReplicaSet,
            _ => Role::Standalone,
        };
        let wire_version = whole(&hello, "maxWireVersion").unwrap_or_default();
        Self { role, wire_version, hello }
    }

    /// The moment of the last thing that the server has done.
    pub(super) fn now(&self) -> Result<Timestamp> {
        let told = self.hello.get_timestamp("operationTime");
        told.map_err(|_| corrupt("the server does not tell its time").with("while", "ask what the server is"))
    }

    /// The moment of the last thing that cannot be undone any more, where the server tells.
    pub(super) fn settled(&self) -> Option<Timestamp> {
        self.hello
            .get_document("lastWrite")
            .and_then(|last| last.get_document("majorityOpTime"))
            .ok()?
            .get_timestamp("ts")
            .ok()
    }
}

/// A whole number of any type.
pub(super) fn whole(document: &Document, name: &str) -> Option<i64> {
    let value = document.get(name)?;
    #[allow(clippy::cast_possible_truncation, reason = "it is whole as the server tells it")]
    value.as_i64().or_else(|| value.as_i32().map(i64::from)).or_else(|| value.as_f64().map(|number| number as i64))
}

/// Makes an idle server move on, so that it shows that nothing is behind. Where this is not allowed
/// the server moves on by itself, every ten seconds.
pub(super) async fn poke(client: &Client) {
    let note = doc! { "appendOplogNote": 1, "data": { "kronos": "the end of a backup" } };
    // Nothing depends on it.
    let _ = client.database("admin").run_command(note).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_apart() {
        assert_eq!(Member::of(doc! { "msg": "isdbgrid" }).role, Role::Router);
        assert_eq!(Member::of(doc! { "isWritablePrimary": true }).role, Role::Standalone);
        let at = Timestamp { time: 7, increment: 1 };
        let member = Member::of(
            doc! { "setName": "rs0", "maxWireVersion": 25, "operationTime": at, "lastWrite": { "majorityOpTime": { "ts": at, "t": 1_i64 } } },
        );
        assert_eq!(
            (member.role, member.wire_version, member.now().unwrap(), member.settled()),
            (Role::ReplicaSet, 25, at, Some(at))
        );
        assert!(Member::of(doc! {}).now().is_err());
    }
}
