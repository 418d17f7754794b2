//! What a restore writes down in its target before it does it, so that the next one can finish or undo
//! what a killed one left: a collection in each database, with a document that says how far it is and
//! one for each thing that moves.

use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result, Retry};
use mongodb::bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use tokio_util::task::AbortOnDropHandle;

use super::connect::{Server, is_written};
use super::error::{corrupt, has_code};
use super::names;

/// It is told so many times within the time after which one who is silent is dead.
const BEATS: u32 = 6;
/// What one is told that was taken for dead.
const LOST: &str = "another restore has taken this one for dead and has settled what it left";
const DUPLICATE: i32 = 11000;
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

    /// What becomes of what a killed restore left, for people.
    pub(super) fn outlook(self) -> &'static str {
        match self {
            Self::Building => "a restore was killed here before it moved anything: what it made is removed first",
            Self::Swapping => "a restore was killed here while it moved collections: that is undone first",
            Self::Finishing => "a restore was killed here when it could only be finished: that is done first",
            Self::Done => "a restore was killed here when all was in place: what it had replaced is removed first",
        }
    }

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
    /// When it was told last.
    told: Option<DateTime>,
    /// What moves.
    pub steps: Vec<Document>,
}

/// On the disk of a majority before the next step. By itself a majority does not say so on a standalone
/// server, nor where `writeConcernMajorityJournalDefault` is off.
fn majority() -> Document {
    doc! { "w": "majority", "j": true }
}

/// A journal, and who writes it: the restore that began it, or the one that settles what that one left.
/// Only one does at a time, and whoever is not asked any more is told so with the next word.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub database: String,
    /// Of the restore that began it.
    pub token: String,
    owner: String,
    /// Whoever has not told for so long that it lives is dead.
    silence: Duration,
}

impl Held {
    /// Of a restore's own.
    pub(super) fn new(database: &str, token: &str, silence: Duration) -> Self {
        Self { database: database.to_owned(), token: token.to_owned(), owner: token.to_owned(), silence }
    }

    /// Begins it.
    pub(super) async fn begin(&self, server: &Server) -> Result<()> {
        // In one step: a journal without a word is one of someone dead.
        self.write(server, doc! { "owner": &self.owner }, &doc! { "state": State::Building.name() }, true).await
    }

    /// Takes over what someone dead has left: only one does, and the dead one, if it wakes up, does no more.
    pub(super) async fn claim(
        server: &Server,
        database: &str,
        remains: &Remains,
        owner: &str,
        silence: Duration,
    ) -> Result<Self> {
        let held =
            Self { database: database.to_owned(), token: remains.token.clone(), owner: owner.to_owned(), silence };
        // If it has told anything since it was looked at, it lives.
        let seen = remains.told.map_or_else(|| doc! { "alive": { "$exists": false } }, |told| doc! { "alive": told });
        let claimed = held.write(server, seen, &doc! { "state": remains.state.name() }, remains.told.is_none()).await;
        claimed.map_err(|error| if is_lost(&error) { busy(database) } else { error })?;
        Ok(held)
    }

    /// Says how far it is, for good.
    pub(super) async fn tell(&self, server: &Server, state: State) -> Result<()> {
        self.write(server, doc! { "owner": &self.owner }, &doc! { "state": state.name() }, false).await
    }

    /// Says that it lives. When this has come back, all that was written before is there for good, and
    /// nobody else has taken over.
    pub(super) async fn beat(&self, server: &Server) -> Result<()> {
        self.write(server, doc! { "owner": &self.owner }, &doc! {}, false).await
    }

    async fn write(&self, server: &Server, if_so: Document, change: &Document, begins: bool) -> Result<()> {
        let mut which = doc! { "_id": "state" };
        which.extend(if_so);
        let mut set =
            doc! { "owner": &self.owner, "silence": i64::try_from(self.silence.as_millis()).unwrap_or(i64::MAX) };
        set.extend(change.clone());
        let change = doc! { "$set": set, "$currentDate": { "alive": true } };
        let update = vec![doc! { "q": which, "u": change, "upsert": begins }];
        let ask = doc! { "update": names::journal(&self.token), "updates": update, "writeConcern": majority() };
        let answer = match server.command(&self.database, "write the journal", ask).await {
            Err(error) if has_code(&error, &[DUPLICATE]) => return Err(self.lost()),
            answer => answer?,
        };
        if super::catalog::number(answer.get("n")) == 0 { Err(self.lost()) } else { Ok(()) }
    }

    fn lost(&self) -> Error {
        Error::new(ErrorKind::Conflict, LOST)
            .with("database", &self.database)
            .with("hint", "was it stopped, or without a network? look at what is there, and restore again")
    }
}

/// Whether another restore has taken over.
pub(super) fn is_lost(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict && error.message() == LOST
}

/// Two restores would mix what they make.
pub(super) fn busy(database: &str) -> Error {
    Error::new(ErrorKind::Locked, "another restore writes into this database")
        .with("database", database)
        .with("hint", "wait a minute; what a killed restore has left is then finished or undone")
        .with_retry(Retry::Later)
}

/// Says that restores live, as long as this is kept.
pub(super) fn keep(server: &Server, held: Vec<Held>) -> AbortOnDropHandle<()> {
    let server = server.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let pause = held.iter().map(|one| one.silence / BEATS).min().unwrap_or(Duration::from_secs(10));
            tokio::time::sleep(pause).await;
            for one in &held {
                // Before anything moves it is asked again, and an error counts.
                let _ = one.beat(&server).await;
            }
        }
    }))
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
    // Who writes it says how long it may be silent.
    let silence = told.and_then(|told| told.get_i64("silence").ok());
    let is_alive = match (alive, now, silence) {
        (Some(alive), Some(now), Some(silence)) => {
            now.timestamp_millis().saturating_sub(alive.timestamp_millis()) < silence
        }
        _ => false,
    };
    let steps = lines.iter().filter_map(|line| line.get_document("step").ok().cloned()).collect();
    Ok(Remains { token, state, is_alive, told: alive.copied(), steps })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_says_how_far_it_is_and_whether_someone_lives() {
        let at = |seconds: i64| DateTime::from_millis(seconds * 1000);
        let lines = [
            doc! { "_id": 0_i64, "step": { "name": "a" } },
            doc! { "_id": "state", "state": "swapping", "alive": at(100), "silence": 60_000_i64 },
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
