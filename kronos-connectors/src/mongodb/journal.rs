//! What a restore writes down in its target before it does it, so that the next one can finish or undo
//! what a killed one left: a collection in each database, with a document that says how far it is and
//! one for each thing that moves.

use std::time::Duration;

use kronos_core::Result;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use super::connect::{Server, is_written};
use super::error::corrupt;
use super::names;

/// Whoever has not told for so long that it lives is dead.
pub(super) const SILENT: Duration = Duration::from_mins(1);
/// So often it is told.
pub(super) const BEAT: Duration = Duration::from_secs(10);
/// So many things are written down at a time.
const AT_A_TIME: usize = 100;

/// How far a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Collections are made beside what is there.
    Building,
    /// They are being put into place; can be undone.
    Swapping,
    /// The same, and it can only be finished.
    Finishing,
    /// All is in place; what was there before goes.
    Done,
}

impl State {
    const NAMES: [(&str, Self); 4] = [
        ("building", Self::Building),
        ("swapping", Self::Swapping),
        ("finishing", Self::Finishing),
        ("done", Self::Done),
    ];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, state)| *state == self).map_or("building", |(name, _)| name)
    }
}

/// What a killed restore left in a database, or one that lives is about to do.
#[derive(Debug)]
pub(super) struct Remains {
    pub token: String,
    pub state: State,
    /// Someone has told of late that it lives.
    pub is_alive: bool,
    /// What moves.
    pub steps: Vec<Document>,
}

fn majority() -> Document {
    doc! { "w": "majority" }
}

/// Begins a journal.
pub(super) async fn begin(server: &Server, database: &str, token: &str) -> Result<()> {
    // In one step: a journal without a word is one of someone dead.
    tell(server, database, token, State::Building).await
}

/// Says how far it is, for good.
pub(super) async fn tell(server: &Server, database: &str, token: &str, state: State) -> Result<()> {
    let change = doc! { "$set": { "state": state.name() }, "$currentDate": { "alive": true } };
    let update = vec![doc! { "q": { "_id": "state" }, "u": change, "upsert": true }];
    let ask = doc! { "update": names::journal(token), "updates": update, "writeConcern": majority() };
    server.command(database, "write the journal", ask).await.map(drop)
}

/// Says that it lives. When this has come back, all that was written before is there for good.
pub(super) async fn beat(server: &Server, database: &str, token: &str) -> Result<()> {
    let update = vec![doc! { "q": { "_id": "state" }, "u": { "$currentDate": { "alive": true } } }];
    let ask = doc! { "update": names::journal(token), "updates": update, "writeConcern": majority() };
    server.command(database, "write the journal", ask).await.map(drop)
}

/// Writes down what will move.
pub(super) async fn plan(server: &Server, database: &str, token: &str, steps: &[Document]) -> Result<()> {
    let what = "write the journal";
    for (place, some) in steps.chunks(AT_A_TIME).enumerate() {
        let numbered = some.iter().enumerate().map(|(n, step)| {
            let number = i64::try_from(place * AT_A_TIME + n).unwrap_or_default();
            Bson::Document(doc! { "_id": number, "step": step.clone() })
        });
        let documents: Vec<Bson> = numbered.collect();
        let ask = doc! { "insert": names::journal(token), "documents": documents, "writeConcern": majority() };
        let raw = RawDocumentBuf::try_from(&ask).map_err(|e| super::error::internal("a journal").with_source(e))?;
        is_written(&server.raw(database, what, raw).await?, what)?;
    }
    Ok(())
}

/// The journals that are in a database.
pub(super) async fn remains(server: &Server, database: &str) -> Result<Vec<Remains>> {
    let what = "look for what a restore has left";
    let ask = doc! { "listCollections": 1, "nameOnly": true, "cursor": {} };
    let mut tokens: Vec<String> = Vec::new();
    for one in server.list(database, what, ask).await? {
        if let Some(token) = one.get_str("name").ok().and_then(names::is_beside)
            && !tokens.iter().any(|known| known == token)
        {
            tokens.push(token.to_owned());
        }
    }
    let mut found = Vec::new();
    for token in tokens {
        let ask = doc! { "find": names::journal(&token), "sort": { "_id": 1 }, "readConcern": { "level": "majority" } };
        let lines = server.list(database, what, ask).await?;
        let hello = server.command("admin", what, doc! { "hello": 1 }).await?;
        found.push(read(token, &lines, hello.get_datetime("localTime").ok().copied())?);
    }
    Ok(found)
}

fn read(token: String, lines: &[Document], now: Option<mongodb::bson::DateTime>) -> Result<Remains> {
    let strange = || corrupt("a journal that a restore has left cannot be read").with("restore", &token);
    let told = lines.iter().find(|line| line.get_str("_id").is_ok_and(|found| found == "state"));
    // Without a word it has come no further than to begin, or has ended but for the last collections.
    let state = match told.map(|told| told.get_str("state")) {
        None => State::Building,
        Some(name) => {
            let name = name.map_err(|_| strange())?;
            State::NAMES.iter().find(|(known, _)| *known == name).map(|(_, state)| *state).ok_or_else(strange)?
        }
    };
    let alive = told.and_then(|told| told.get_datetime("alive").ok());
    let is_alive = match (alive, now) {
        (Some(alive), Some(now)) => {
            let silent = now.timestamp_millis().saturating_sub(alive.timestamp_millis());
            u64::try_from(silent).unwrap_or_default() < u64::try_from(SILENT.as_millis()).unwrap_or(u64::MAX)
        }
        _ => false,
    };
    let steps = lines.iter().filter_map(|line| line.get_document("step").ok().cloned()).collect();
    Ok(Remains { token, state, is_alive, steps })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::DateTime;

    #[test]
    fn a_journal_says_how_far_it_is_and_whether_someone_lives() {
        let at = |seconds: i64| DateTime::from_millis(seconds * 1000);
        let lines = [
            doc! { "_id": 0_i64, "step": { "name": "a" } },
            doc! { "_id": "state", "state": "swapping", "alive": at(100) },
        ];
        let found = read("t".into(), &lines, Some(at(130))).unwrap();
        assert_eq!((found.state, found.is_alive, found.steps.len()), (State::Swapping, true, 1));
        assert!(!read("t".into(), &lines, Some(at(161))).unwrap().is_alive);
        assert_eq!(read("t".into(), &[], Some(at(1))).unwrap().state, State::Building);
        assert!(read("t".into(), &[doc! { "_id": "state", "state": "other" }], None).is_err());
        for (name, state) in State::NAMES {
            assert_eq!(state.name(), name);
        }
    }
}
