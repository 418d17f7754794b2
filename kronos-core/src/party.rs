//! Who takes part in a run into several repositories. One that fails, or that the others have
//! waited for too long, is left out from then on, and the run goes on with the rest.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backup::SlowStorage;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::repository::{IN_DOUBT, Repository};
use crate::run::RunContext;

/// Some members of a party, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Set(u64);

impl Set {
    /// So many members a party may have.
    pub(crate) const MOST: usize = 64;

    pub(crate) fn first(count: usize) -> Self {
        Self(if count >= Self::MOST { u64::MAX } else { (1 << count) - 1 })
    }

    pub(crate) fn of(member: usize) -> Self {
        Self(1 << member)
    }

    pub(crate) fn insert(&mut self, member: usize) {
        self.0 |= 1 << member;
    }

    pub(crate) fn remove(&mut self, member: usize) {
        self.0 &= !(1 << member);
    }

    pub(crate) fn has(self, member: usize) -> bool {
        self.0 & 1 << member != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn len(self) -> u32 {
        self.0.count_ones()
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let member = left.trailing_zeros() as usize;
            (left != 0).then(|| {
                left &= left - 1;
                member
            })
        })
    }
}

/// Why a member takes part no more.
#[derive(Debug)]
pub(crate) struct Loss {
    pub error: Error,
    /// Nothing failed; the others have waited long enough.
    pub slow: bool,
}

/// The members of a run, and what became of them.
#[derive(Debug)]
pub(crate) struct Party {
    names: Vec<String>,
    slow: SlowStorage,
    run: RunContext,
    live: AtomicU64,
    /// Cancelled when the member of that number is lost.
    gone: Vec<CancellationToken>,
    losses: Mutex<BTreeMap<usize, Loss>>,
    waits: Mutex<Vec<Waits>>,
}

/// How long the others have waited for a member.
#[derive(Debug, Clone, Copy)]
struct Waits {
    before: Duration,
    /// How many steps wait for it now, and since when the first of them does.
    now: u32,
    since: Instant,
}

impl Waits {
    fn altogether(&self) -> Duration {
        self.before + if self.now > 0 { self.since.elapsed() } else { Duration::ZERO }
    }
}

impl Party {
    pub(crate) fn new(members: &[&Repository], slow: SlowStorage, run: &RunContext) -> Self {
        let none = Waits { before: Duration::ZERO, now: 0, since: Instant::now() };
        Self {
            names: members.iter().map(|m| m.describe()).collect(),
            slow,
            run: run.clone(),
            live: AtomicU64::new(Set::first(members.len()).0),
            gone: members.iter().map(|_| CancellationToken::new()).collect(),
            losses: Mutex::default(),
            waits: Mutex::new(vec![none; members.len()]),
        }
    }

    /// A run into one repository, which fails if that does.
    pub(crate) fn of_one(repository: &Repository, run: &RunContext) -> Self {
        Self::new(&[repository], SlowStorage::Wait, run)
    }

    /// Those who still take part.
    pub(crate) fn live(&self) -> Set {
        Set(self.live.load(Ordering::SeqCst))
    }

    fn losses(&self) -> MutexGuard<'_, BTreeMap<usize, Loss>> {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why members were left out, by their numbers.
    pub(crate) fn take_losses(&self) -> BTreeMap<usize, Loss> {
        std::mem::take(&mut self.losses())
    }

    /// Leaves a member out. An error if the run cannot go on: it was cancelled, or nobody is left.
    pub(crate) fn lose(&self, member: usize, error: Error) -> Result<()> {
        self.leave_out(member, Loss { error, slow: false })
    }

    fn leave_out(&self, member: usize, loss: Loss) -> Result<()> {
        if self.run.cancel.is_cancelled() && loss.error.kind() == ErrorKind::Cancelled {
            return Err(loss.error);
        }
        let mut losses = self.losses();
        let mut live = self.live();
        if !live.has(member) {
            return Ok(());
        }
        if live.len() == 1 {
            return Err(self.nobody_left(&losses, member, loss.error));
        }
        live.remove(member);
        self.live.store(live.0, Ordering::SeqCst);
        let (storage, error) = (self.names[member].clone(), loss.error.to_string());
        losses.insert(member, loss);
        drop(losses);
        self.gone[member].cancel();
        self.run.emit(&Event::StorageLost { storage, error });
        Ok(())
    }

    /// The error of the last one, and in short those of the others.
    fn nobody_left(&self, losses: &BTreeMap<usize, Loss>, last: usize, error: Error) -> Error {
        if self.names.len() == 1 {
            return error;
        }
        let mut all = Error::new(ErrorKind::Io, "no storage could take the backup");
        for (member, loss) in losses {
            all = all.with("storage", format!("{}: {}", self.names[*member], loss.error));
        }
        all.with("storage", format!("{}: {error}", self.names[last])).with_source(error)
    }

    /// Says of those who were too slow for their commit that it may have happened. `before` are
    /// those who were about to.
    pub(crate) fn doubt(&self, before: Set) {
        for (_, loss) in self.losses().iter_mut().filter(|(member, _)| before.has(**member)) {
            if loss.slow {
                let error = std::mem::replace(&mut loss.error, Error::cancelled());
                loss.error = error.with("in doubt", IN_DOUBT);
            }
        }
    }

    /// What `work` gives, or nothing once the member is lost.
    pub(crate) async fn while_live<T>(&self, member: usize, work: impl Future<Output = T>) -> Option<T> {
        self.gone[member].run_until_cancelled(work).await
    }

    /// Does a step for several members at the same time. One that fails is left out, and so is
    /// one that the others wait for too long.
    pub(crate) async fn together<T, F>(&self, steps: impl IntoIterator<Item = (usize, F)>) -> Result<BTreeMap<usize, T>>
    where
        F: Future<Output = Result<T>>,
    {
        let live = self.live();
        let mut waiting = Set::default();
        let step = |(member, step): (usize, F)| {
            waiting.insert(member);
            async move { (member, self.while_live(member, step).await) }
        };
        let steps = steps.into_iter().filter(|(member, _)| live.has(*member));
        let mut steps: FuturesUnordered<_> = steps.map(step).collect();
        let mut done = BTreeMap::new();
        while !waiting.is_empty() {
            let ended = match self.slow {
                SlowStorage::Wait => steps.next().await,
                SlowStorage::Drop { after } => {
                    let counted = Counted::begin(self, waiting);
                    tokio::select! {
                        biased;
                        ended = steps.next() => ended,
                        () = counted.until(after) => {
                            self.drop_slow(counted.members, after)?;
                            continue;
                        }
                    }
                }
            };
            let Some((member, result)) = ended else { break };
            waiting.remove(member);
            match result {
                None => {}
                Some(Ok(value)) => drop(done.insert(member, value)),
                Some(Err(error)) => self.lose(member, error)?,
            }
        }
        // Lost in another step, although this one went well.
        done.retain(|member, _| self.live().has(*member));
        Ok(done)
    }

    fn drop_slow(&self, waiting: Set, after: Duration) -> Result<()> {
        for member in waiting.iter() {
            if self.waits()[member].altogether() >= after {
                let error = Error::new(ErrorKind::Timeout, "the storage is too slow and was left out of this backup")
                    .with("waited for it", format!("{after:?}"));
                self.leave_out(member, Loss { error, slow: true })?;
            }
        }
        Ok(())
    }

    fn waits(&self) -> MutexGuard<'_, Vec<Waits>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, the time counts for which others wait for some members.
struct Counted<'a> {
    party: &'a Party,
    members: Set,
}

impl<'a> Counted<'a> {
    /// Counts only if somebody could go on.
    fn begin(party: &'a Party, waiting: Set) -> Self {
        let live = party.live();
        let idle = live.without(waiting);
        let members = if idle.is_empty() { Set::default() } else { waiting.and(live) };
        let mut waits = party.waits();
        for member in members.iter() {
            let of = &mut waits[member];
            if of.now == 0 {
                of.since = Instant::now();
            }
            of.now += 1;
        }
        drop(waits);
        Self { party, members }
    }

    /// Ends when one of them has been waited for so long, altogether.
    async fn until(&self, after: Duration) {
        let left = {
            let waits = self.party.waits();
            self.members.iter().map(|m| after.saturating_sub(waits[m].altogether())).min()
        };
        match left {
            Some(left) => tokio::time::sleep(left).await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let mut waits = self.party.waits();
        for member in self.members.iter() {
            let of = &mut waits[member];
            if of.now == 1 {
                of.before = of.altogether();
            }
            of.now -= 1;
        }
    }
}
