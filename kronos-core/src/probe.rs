//! What a storage can do, found out with a few throw-away objects before anything is committed on it.
//!
//! The one thing that must be true is that of several writers of one new object just one is told
//! that it made it: that is what a commit is. Stores that do not know conditional writes ignore the
//! condition and say yes to everybody, and some look first and write then, so that all who looked at
//! the same moment win. Neither shows before several really write at the same moment: so they do.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result, Retry};
use crate::event::Event;
use crate::id::Id;
use crate::repository::layout;
use crate::repository::retry::retry;
use crate::repository::uploading::Uploading;
use crate::run::RunContext;
use crate::storage::{Key, PutOutcome, Storage, StorageExt};
use crate::time::Timestamp;

/// Writers of one object.
const WRITERS: u8 = 32;
/// Objects that are raced for: at most, and at least. A store that takes its time over them puts
/// writers in a row, and needs no more of them.
const RACES: usize = 10;
const FEWEST_RACES: usize = 3;
const LONG_ENOUGH: Duration = Duration::from_secs(3);
/// The least that all stores take of a part that is not the last one.
const PART: usize = 5 << 20;

/// How a storage answers writers that want to make the same new object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ConditionalPut {
    /// One of them made it, and the others are told so.
    Atomic,
    /// Several of them were told that they made it.
    Racy,
    /// The condition is ignored: what was there is overwritten.
    Ignored,
    /// The storage says that it knows no conditions.
    Unsupported,
}

/// What a storage can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is an answer of its own")]
#[non_exhaustive]
pub struct ProbeReport {
    /// The storage, without secrets.
    pub storage: String,
    /// When this was found out.
    pub probed: Timestamp,
    /// How it answers writers that want to make the same new object.
    pub conditional_put: ConditionalPut,
    /// Whether it gives ranges of an object, exactly.
    pub ranges: bool,
    /// Whether it takes an object in parts of 5 MiB and a rest.
    pub parts: bool,
    /// Whether what has been written is listed at once. Nothing depends on it.
    pub lists_at_once: bool,
    /// Whether objects can be deleted. Under a lock they stay, and prune frees nothing.
    pub deletes: bool,
}

impl ProbeReport {
    /// An error unless a repository can be kept there. `alone`: the user vouches for a single writer.
    pub(crate) fn check(&self, alone: bool) -> Result<()> {
        let refused = |message: &str, hint: &str| {
            let error = Error::new(ErrorKind::Unsupported, message).with("storage", &self.storage);
            Err(error.with("hint", hint))
        };
        if !self.ranges {
            return refused(
                "the storage does not give ranges of objects",
                "a proxy or gateway in between may be the cause: try the store's own address",
            );
        }
        let message = match self.conditional_put {
            _ if alone => return Ok(()),
            ConditionalPut::Atomic => return Ok(()),
            ConditionalPut::Racy => {
                "the storage let several writers make the same new object: a commit would not be safe"
            }
            ConditionalPut::Ignored => "the storage overwrites where it should not: a commit would not be safe",
            ConditionalPut::Unsupported => "the storage knows no conditional writes: a commit would not be safe",
        };
        refused(
            message,
            "use a storage with conditional writes (If-None-Match); or say single_writer=true if only one kronos at a \
             time ever writes there",
        )
    }
}

/// Finds out what a storage can do, with a few objects of its own that are removed again.
pub async fn probe(storage: &dyn Storage, run: &RunContext) -> Result<ProbeReport> {
    run.emit(&Event::Started { operation: "probe", subject: storage.describe() });
    let probe = Probe { storage, run, place: layout::probe_place(Id(run.random())) };
    let found = probe.find_out().await;
    let deleted = probe.clean_up().await;
    Ok(ProbeReport { deletes: deleted?, ..found? })
}

struct Probe<'a> {
    storage: &'a dyn Storage,
    run: &'a RunContext,
    place: Key,
}

impl Probe<'_> {
    fn key(&self, name: &str) -> Key {
        Key::new(format!("{}/{name}", self.place)).expect("names made here are valid keys")
    }

    async fn find_out(&self) -> Result<ProbeReport> {
        let (storage, run) = (self.storage, self.run);
        let (first, content) = (self.key("first"), Bytes::from_static(b"a throw-away object"));
        retry(run, "write a throw-away object", || storage.put(&first, content.clone())).await?;
        let there = retry(run, "read a throw-away object", || storage.get(&first)).await?;
        if there != content {
            return Err(Error::new(ErrorKind::Unsupported, "the storage gives back something else than was written")
                .with("storage", storage.describe()));
        }
        let exact = retry(run, "read a range", || storage.get_range(&first, 2..13)).await;
        let listed = retry(run, "list throw-away objects", || storage.list(Some(&self.place), None)).await?;
        Ok(ProbeReport {
            storage: storage.describe(),
            probed: run.now(),
            conditional_put: self.conditional_put(&first, &content).await?,
            ranges: answered(exact)?.is_some_and(|bytes| bytes == content[2..13]),
            parts: answered(self.parts().await)?.is_some(),
            lists_at_once: listed.iter().any(|meta| meta.key == first),
            deletes: true,
        })
    }

    async fn conditional_put(&self, first: &Key, content: &Bytes) -> Result<ConditionalPut> {
        let (storage, run) = (self.storage, self.run);
        let other = Bytes::from_static(b"it should not be here");
        let again = || storage.put_if_absent(first, other.clone());
        let Some(outcome) = answered(retry(run, "write where something is", again).await)? else {
            return Ok(ConditionalPut::Unsupported);
        };
        let there = retry(run, "read a throw-away object", || storage.get(first)).await?;
        if outcome == PutOutcome::Created || there != *content {
            return Ok(ConditionalPut::Ignored);
        }
        // Writers whose connections are still to be made do not come at the same moment.
        join_all((0..WRITERS).map(|_| storage.get(first))).await;
        let begun = Instant::now();
        for race in 0..RACES {
            if race >= FEWEST_RACES && begun.elapsed() > LONG_ENOUGH {
                break;
            }
            if !self.race(&self.key(&format!("race-{race}"))).await? {
                return Ok(ConditionalPut::Racy);
            }
        }
        Ok(ConditionalPut::Atomic)
    }

    /// Whether of many writers just one was told that it won, and what it wrote is there.
    async fn race(&self, place: &Key) -> Result<bool> {
        let content = |writer: u8| Bytes::from(vec![writer; 100 + usize::from(writer)]);
        let outcomes = join_all((0..WRITERS).map(|writer| self.storage.put_if_absent(place, content(writer)))).await;
        let mut winners = Vec::new();
        let mut in_doubt = None;
        for (writer, outcome) in (0..WRITERS).zip(outcomes) {
            match outcome {
                Ok(PutOutcome::Created) => winners.push(writer),
                Ok(PutOutcome::Exists) => {}
                Err(e) if e.retry() == Retry::Later => in_doubt = Some(e),
                Err(e) => return Err(e),
            }
        }
        let there = retry(self.run, "read the winner", || self.storage.get_if_there(place)).await?;
        match (&winners[..], there, in_doubt) {
            ([winner], Some(there), _) => Ok(there == content(*winner)),
            // The winner's answer was lost.
            ([], Some(_), Some(_)) => Ok(true),
            ([], _, Some(e)) => Err(e),
            _ => Ok(false),
        }
    }

    async fn parts(&self) -> Result<()> {
        let (storage, run) = (self.storage, self.run);
        let place = self.key("parts");
        let upload = Uploading::begin(storage, &place, run).await?;
        let sent = async {
            for part in [Bytes::from(vec![1; PART]), Bytes::from_static(b"the rest")] {
                upload.write(&part).await?;
            }
            upload.finish().await
        };
        let sent = sent.await;
        if sent.is_err() {
            // What it left is for the storage to clean up.
            let _ = upload.abort().await;
        }
        let end = PART as u64;
        let across = retry(run, "read across two parts", || storage.get_range(&place, end - 1..end + 8)).await;
        match (sent, across) {
            (_, Ok(bytes)) if bytes[..] == *b"\x01the rest" => Ok(()),
            (Err(e), _) | (_, Err(e)) => Err(e),
            _ => Err(Error::new(ErrorKind::Unsupported, "the parts of an object were put together wrongly")),
        }
    }

    /// Removes the throw-away objects; `false` when the storage does not allow it.
    async fn clean_up(&self) -> Result<bool> {
        let races = (0..RACES).map(|race| format!("race-{race}"));
        let names = ["first", "parts"].into_iter().map(str::to_owned).chain(races);
        let keys: Vec<Key> = names.map(|name| self.key(&name)).collect();
        match retry(self.run, "remove throw-away objects", || self.storage.delete(&keys)).await {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::PermissionDenied => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// What a storage answered; `None` when it said that it cannot do it.
fn answered<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::Corrupt) => Ok(None),
        // A server that does not know the request at all often says no more than that it is a bad one.
        Err(e) if e.kind() == ErrorKind::Io && e.retry() == Retry::Never => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_safe_is_refused_unless_one_writes_alone() {
        let report = |conditional_put, ranges| ProbeReport {
            storage: "s3://b".to_owned(),
            probed: Timestamp::from_micros(0),
            conditional_put,
            ranges,
            parts: true,
            lists_at_once: true,
            deletes: true,
        };
        report(ConditionalPut::Atomic, true).check(false).unwrap();
        for unsafe_one in [ConditionalPut::Racy, ConditionalPut::Ignored, ConditionalPut::Unsupported] {
            let error = report(unsafe_one, true).check(false).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.context("hint").unwrap().contains("single_writer"));
            report(unsafe_one, true).check(true).unwrap();
        }
        assert!(report(ConditionalPut::Atomic, false).check(true).is_err());
    }
}
