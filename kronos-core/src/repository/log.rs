//! Reading a job's log and committing to it. Writing the next number, if absent, is the one way
//! to commit; no correctness rests on a listing, a clock or a lease.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;

use crate::bugs::Bug;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::id::Id;
use crate::repository::retry::retry;
use crate::run::RunContext;
use crate::storage::{PutOutcome, StorageExt};

use super::entry::{Action, Decoded, Entry};
use super::job::Job;
use super::layout;
use super::seal::{self, ObjectKind};
use super::state::State;

/// A checkpoint is written after each entry whose number is a multiple of this.
const CHECKPOINT_EVERY: u64 = 256;

/// What an error says beneath the key `in doubt`.
pub(crate) const IN_DOUBT: &str = "the entry may have been written; the next command shows whether it was";

/// The numbers after which there is a checkpoint, in a log that goes on at `next`.
pub(crate) fn checkpoint_numbers(next: u64) -> impl Iterator<Item = u64> {
    (1..).map(|n| n * CHECKPOINT_EVERY).take_while(move |seq| *seq < next)
}

/// What the author of an entry decides once it has seen everything before its number.
pub(crate) enum Decision {
    /// This is what the entry says.
    Commit(Action),
    /// There is nothing to commit (any more).
    Nothing,
}

/// Somebody who decides. A trait, and no async closure: whoever embeds Kronos spawns its operations, and
/// the compiler cannot tell that a future with such a closure in it may go from thread to thread.
#[async_trait]
pub(crate) trait Decide: Send {
    /// Looks at everything before the entry's number.
    async fn decide(&mut self, state: &State) -> Result<Decision>;
}

#[async_trait]
impl<F> Decide for F
where
    F: FnMut(&State) -> Result<Decision> + Send,
{
    async fn decide(&mut self, state: &State) -> Result<Decision> {
        self(state)
    }
}

impl Job {
    /// The state of the log as it is now.
    pub(crate) async fn load(&self, run: &RunContext) -> Result<State> {
        let start = self.newest_checkpoint(run).await.unwrap_or_else(|| State::empty(self.id()));
        self.follow(start, run).await
    }

    /// Every number from the first on, ignoring checkpoints: for `check`.
    pub(crate) async fn load_from_start(&self, run: &RunContext) -> Result<State> {
        self.follow(State::empty(self.id()), run).await
    }

    /// Reads on from a state to the end of the log.
    ///
    /// The end is the first number that is not there. A listing is consulted as well: numbers it
    /// shows beyond the end make the ones between them missing. That it shows none proves nothing.
    pub(crate) async fn follow(&self, mut state: State, run: &RunContext) -> Result<State> {
        let listed = self.listed_entries(&state, run).await?;
        if run.bugs.has(Bug::TrustListing) {
            for seq in listed.range(state.next..) {
                state.next = *seq;
                self.step(&mut state, &listed, run).await?;
                state.faults.clear();
            }
            return Ok(state);
        }
        while self.step(&mut state, &listed, run).await? {}
        Ok(state)
    }

    async fn step(&self, state: &mut State, listed: &BTreeSet<u64>, run: &RunContext) -> Result<bool> {
        let seq = state.next;
        match self.read_entry(seq, run).await {
            Ok(Some(object)) => {
                let place = self.place(ObjectKind::Entry, self.layout().entry(seq));
                let found = Entry::open(self.meta_key(), &place, seq, &object);
                if run.bugs.has(Bug::UnreadableIsAbsent) && !matches!(found.entry, Decoded::Entry(_)) {
                    state.next += 1;
                    return Ok(true);
                }
                if !found.intact {
                    state.scars.push(seq);
                }
                state.fold(&found.entry, found.digest);
                Ok(true)
            }
            Ok(None) if listed.range(seq + 1..).next().is_some() => {
                state.fold_missing();
                Ok(true)
            }
            Ok(None) => Ok(false),
            // What is passing must not be mistaken for a fault of the entry: the caller shall try again.
            Err(e) if e.retry() == Retry::Never && e.kind() != ErrorKind::Cancelled && listed.contains(&seq) => {
                state.fold_unreadable(e.message());
                Ok(true)
            }
            Err(e) => Err(e),
        }
    }

    async fn read_entry(&self, seq: u64, run: &RunContext) -> Result<Option<Bytes>> {
        let key = self.layout().entry(seq);
        retry(run, "read a log entry", || self.storage().get_if_there(&key)).await
    }

    /// The numbers that a state has not seen, as far as the storage shows them.
    async fn listed_entries(&self, state: &State, run: &RunContext) -> Result<BTreeSet<u64>> {
        let prefix = self.layout().log();
        let seen = state.next.checked_sub(1).map(|seq| self.layout().entry(seq));
        let list = || self.storage().list_from(Some(&prefix), seen.as_ref());
        let listed = retry(run, "list the log", list).await?;
        Ok(listed.iter().filter_map(|m| layout::sequence_of(&m.key)).collect())
    }

    async fn newest_checkpoint(&self, run: &RunContext) -> Option<State> {
        // A checkpoint only saves time: whatever is wrong with one, the log itself is there.
        let prefix = self.layout().checkpoints();
        let listed = retry(run, "list checkpoints", || self.storage().list_all(Some(&prefix))).await.ok()?;
        let mut numbers: Vec<u64> = listed.iter().filter_map(|m| layout::sequence_of(&m.key)).collect();
        numbers.sort_unstable();
        for seq in numbers.into_iter().rev() {
            let key = self.layout().checkpoint(seq);
            let Ok(object) = retry(run, "read a checkpoint", || self.storage().get(&key)).await else { continue };
            let place = self.place(ObjectKind::Checkpoint, key);
            let Ok(text) = seal::open_record(self.meta_key(), &place, &object) else { continue };
            match serde_json::from_slice::<State>(&text) {
                Ok(state) if state.next == seq + 1 && state.faults.is_empty() => return Some(state),
                _ => {}
            }
        }
        None
    }

    /// Commits an entry. `decide` is asked again, with the newer state, whenever someone else's
    /// entry took the number first, so that it always decides on everything before its own.
    pub(crate) async fn commit(
        &self,
        mut state: State,
        run: &RunContext,
        mut decide: impl Decide,
    ) -> Result<(State, Option<u64>)> {
        // On a storage that merely says yes, there is no commit.
        self.repository().probed(run).await?;
        loop {
            run.check_cancelled()?;
            let Decision::Commit(action) = decide.decide(&state).await? else { return Ok((state, None)) };
            let seq = state.next;
            let entry = Entry {
                seq,
                token: Id(run.random()),
                after: state.after,
                prev: state.predecessor(),
                time: state.time.max(run.now()),
                action,
                signature: None,
            };
            let (won, newer) = self.put_entry(state, &entry, run).await?;
            state = newer;
            if won {
                if seq > 0 && seq.is_multiple_of(CHECKPOINT_EVERY) && state.next == seq + 1 {
                    self.write_checkpoint(&state, run).await;
                }
                return Ok((state, Some(seq)));
            }
        }
    }

    /// Puts one entry at its number and finds out, by reading, whether it is there.
    async fn put_entry(&self, mut state: State, entry: &Entry, run: &RunContext) -> Result<(bool, State)> {
        let key = self.layout().entry(entry.seq);
        let place = self.place(ObjectKind::Entry, key.clone());
        let (object, digest) = entry.seal(self.meta_key(), &place, run)?;
        let object = Bytes::from(object);
        if run.bugs.has(Bug::RetryUnderNextNumber) {
            return self.put_entry_wrongly(state, entry, run).await;
        }
        // Until the answer is known it is the same bytes at the same number: another number could
        // make two entries of one. Both outcomes of the put are settled by reading back.
        let put = || async {
            let outcome = if run.bugs.has(Bug::CommitByOverwriting) {
                self.storage().put(&key, object.clone()).await.map(|()| PutOutcome::Created)?
            } else {
                self.storage().put_if_absent(&key, object.clone()).await?
            };
            let there = self.storage().get_if_there(&key).await?;
            match there {
                Some(there) => Ok((outcome, there)),
                None => Err(Error::new(ErrorKind::Io, "a log entry was written and is not there")
                    .with("object", &key)
                    .with_retry(Retry::Later)),
            }
        };
        let (outcome, there) = retry(run, "commit", put).await.map_err(|e| e.with("in doubt", IN_DOUBT))?;
        if there == object {
            state.fold(&Decoded::Entry(Box::new(entry.clone())), digest);
            return Ok((true, state));
        }
        if outcome == PutOutcome::Created {
            return Err(Error::new(ErrorKind::Conflict, "the storage let two writers make the same object")
                .with("object", &key));
        }
        Ok((false, self.follow(state, run).await?))
    }

    /// The planted fault of that name: a lost answer is answered with the next number.
    async fn put_entry_wrongly(&self, state: State, entry: &Entry, run: &RunContext) -> Result<(bool, State)> {
        let mut entry = entry.clone();
        for _ in 0..run.limits.attempts {
            let key = self.layout().entry(entry.seq);
            let place = self.place(ObjectKind::Entry, key.clone());
            let object = Bytes::from(entry.seal(self.meta_key(), &place, run)?.0);
            match self.storage().put_if_absent(&key, object.clone()).await {
                Ok(PutOutcome::Created) => return Ok((true, self.follow(state, run).await?)),
                Ok(PutOutcome::Exists) => return Ok((false, self.follow(state, run).await?)),
                Err(_) => {
                    entry.seq += 1;
                    entry.token = Id(run.random());
                }
            }
        }
        Err(Error::new(ErrorKind::Io, "gave up"))
    }

    /// Writes down the folded state. It may fail: the next reader walks the log instead.
    async fn write_checkpoint(&self, state: &State, run: &RunContext) {
        if !state.faults.is_empty() {
            return;
        }
        let key = self.layout().checkpoint(state.next - 1);
        let place = self.place(ObjectKind::Checkpoint, key.clone());
        let Ok(text) = serde_json::to_vec(state) else { return };
        let Ok(object) = seal::seal_record(self.meta_key(), &place, &text, run) else { return };
        let object = Bytes::from(object);
        if let Err(e) = retry(run, "write a checkpoint", || self.storage().put(&key, object.clone())).await {
            run.emit(&crate::event::Event::Warning { message: format!("a checkpoint was not written: {e}") });
        }
    }
}
