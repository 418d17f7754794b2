//! Giving backups another index that leads to the same bytes in other packs: what healing and
//! compaction have in common. New packs first, then new roots, then one entry of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::bugs::Bug;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Digest, Id};
use crate::pipeline::{Fetcher, Fold, Intake, Relocation, Rewriter};
use crate::repository::Decision;
use crate::repository::entry::{Action, Move, RootRef};
use crate::repository::index::{NodeRef, PackUse, Root, StoredStream};
use crate::repository::job::Job;
use crate::repository::pack::PackClass;
use crate::repository::retry::retry;
use crate::repository::state::State;
use crate::run::RunContext;

/// Rewrites the indexes of backups, one after the other.
pub(crate) struct Moving<R: Relocation> {
    job: Job,
    run_id: Id,
    run: RunContext,
    fetcher: Arc<Fetcher>,
    fold: Fold<Rewriter<R>>,
    tables: BTreeMap<Id, Option<NodeRef>>,
    waiting: Vec<NewIndex>,
    /// Backups whose entry did not name them in the end.
    pub(crate) passed_over: u64,
}

/// An index that waits for its packs to be uploaded.
struct NewIndex {
    backup: Id,
    was: Id,
    streams: Vec<StoredStream>,
    packs: BTreeMap<Id, PackPart>,
    healed: bool,
}

/// A pack of a new index: with what was known of it, unless it is new.
struct PackPart {
    old: Option<PackUse>,
    live: u64,
}

impl<R: Relocation> Moving<R> {
    /// `fetcher` reads from all packs of all backups concerned; `intake` takes what is written.
    pub(crate) fn new(
        job: &Job,
        run_id: Id,
        relocation: R,
        fetcher: Arc<Fetcher>,
        intake: Arc<Intake>,
        run: &RunContext,
    ) -> Self {
        let fold = Fold::new(Rewriter::new(relocation, intake), run.limits.memory / 4);
        let (tables, waiting) = (BTreeMap::new(), Vec::new());
        Self { job: job.clone(), run_id, run: run.clone(), fetcher, fold, tables, waiting, passed_over: 0 }
    }

    /// Rewrites the index of one backup. A stream that is not whole is taken from `donor` if that
    /// has one with the same bytes. Gives whether everything that the backup needs is there now.
    pub(crate) async fn rewrite(&mut self, was: Id, root: &Root, donor: Option<&Root>) -> Result<bool> {
        let mut streams = Vec::with_capacity(root.streams.len());
        let mut live: BTreeMap<Id, u64> = BTreeMap::new();
        let mut all_whole = true;
        for stream in &root.streams {
            self.run.check_cancelled()?;
            let mut done = self.stream(stream).await?;
            let same = |s: &&StoredStream| s.end.length == stream.end.length && s.end.digest == stream.end.digest;
            if let Some(other) = donor.filter(|_| !done.whole).and_then(|d| d.streams.iter().find(same)) {
                let theirs = StoredStream { info: stream.info.clone(), end: stream.end, ..other.clone() };
                done = self.stream(&theirs).await?;
            }
            all_whole &= done.whole;
            for (pack, bytes) in done.live {
                *live.entry(pack).or_default() += bytes;
            }
            streams.push(done.stream);
        }
        if !all_whole {
            // What cannot be read may lead to any pack of the old index.
            for used in &root.packs {
                live.entry(used.info.id).or_insert(used.live);
            }
        }
        let uses = |root: &Root| root.packs.iter().map(|p| (p.info.id, *p)).collect::<BTreeMap<_, _>>();
        let known = donor.into_iter().chain([root]).flat_map(uses).collect::<BTreeMap<_, _>>();
        let mut packs = BTreeMap::new();
        let mut tables_changed = false;
        for (pack, live) in live {
            let mut old = known.get(&pack).copied();
            if let Some(used) = &mut old {
                let copy = self.table_copy(used).await?;
                tables_changed |= copy != used.table_copy;
                used.table_copy = copy;
            }
            packs.insert(pack, PackPart { old, live });
        }
        // The copies of tables lie in metadata packs, which the index needs as well.
        let copies: Vec<NodeRef> = packs.values().filter_map(|p| p.old?.table_copy).collect();
        for copy in copies {
            let old = known.get(&copy.pack).copied();
            packs.entry(copy.pack).or_insert(PackPart { old, live: 0 }).live += copy.bytes;
        }
        let slimmer = all_whole && root.packs.iter().any(|p| !packs.contains_key(&p.info.id));
        if streams != root.streams || tables_changed || slimmer {
            let healed = all_whole && donor.is_some();
            self.waiting.push(NewIndex { backup: root.backup, was, streams, packs, healed });
        }
        Ok(all_whole)
    }

    async fn stream(&mut self, stream: &StoredStream) -> Result<RewrittenStream> {
        let mut live: BTreeMap<Id, u64> = BTreeMap::new();
        let (mut top, mut whole) = (Vec::with_capacity(stream.top.len()), true);
        for at in &stream.top {
            let new = self.fold.visit(&self.fetcher, *at, stream.levels).await?;
            whole &= new.whole;
            *live.entry(new.node.pack).or_default() += 64;
            for (pack, bytes) in &new.packs {
                *live.entry(self.fold.visitor.pack(*pack)).or_default() += bytes;
            }
            top.push(new.node);
        }
        Ok(RewrittenStream { stream: StoredStream { top, ..stream.clone() }, live, whole })
    }

    /// Where the copy of a pack's table lies: written anew when it must be.
    async fn table_copy(&mut self, used: &PackUse) -> Result<Option<NodeRef>> {
        let relocation = &self.fold.visitor.relocation;
        let stays = |copy: &NodeRef| !relocation.renews(copy) && !relocation.is_lost(copy.pack, copy.block);
        if used.info.class == PackClass::Meta || used.table_copy.is_some_and(|copy| stays(&copy)) {
            return Ok(used.table_copy);
        }
        if let Some(known) = self.tables.get(&used.info.id) {
            return Ok(*known);
        }
        let copy = match self.fetcher.table(used.info.id).await {
            Ok(table) => Some(self.fold.visitor.intake.store_table(&table)?),
            Err(e) if e.kind() == ErrorKind::Corrupt && relocation.tolerates() => used.table_copy,
            Err(e) => return Err(e),
        };
        self.tables.insert(used.info.id, copy);
        Ok(copy)
    }

    /// About how many bytes the indexes take that wait.
    pub(crate) fn weight(&self) -> u64 {
        let of = |i: &NewIndex| {
            i.streams.iter().map(|s| 512 + s.top.len() * size_of::<NodeRef>()).sum::<usize>() + i.packs.len() * 256
        };
        self.waiting.iter().map(of).sum::<usize>() as u64
    }

    /// Uploads what is left and commits the indexes that wait. Gives the backups that have a new
    /// one; those that were forgotten or moved by others in the meantime are passed over.
    pub(crate) async fn commit(&mut self, state: State) -> Result<(State, Vec<Move>)> {
        if self.waiting.is_empty() {
            return Ok((state, Vec::new()));
        }
        self.fold.visitor.relocation.flush();
        let stored = self.fold.visitor.intake.finish().await?;
        let fresh: BTreeMap<Id, PackUse> = stored.packs.into_iter().map(|p| (p.info.id, p)).collect();
        let mut needs: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
        let mut moves = Vec::new();
        for index in std::mem::take(&mut self.waiting) {
            let (backup, was, healed) = (index.backup, index.was, index.healed);
            let root = self.root(index, &fresh)?;
            let id = Id(self.run.random());
            let object = Bytes::from(root.seal(&self.job, id, &self.run)?);
            let key = self.job.layout().root(id);
            retry(&self.run, "write the index root", || self.job.storage().put(&key, object.clone())).await?;
            needs.insert(backup, root.references(id).collect());
            moves.push(Move { backup, was, root: RootRef { id, digest: Digest::of(&object) }, healed });
        }
        self.commit_moves(state, moves, &needs).await
    }

    /// The root, with every pack that the index needs.
    fn root(&self, index: NewIndex, fresh: &BTreeMap<Id, PackUse>) -> Result<Root> {
        let mut packs = Vec::with_capacity(index.packs.len());
        for (id, part) in index.packs {
            let used = fresh.get(&id).copied().or(part.old);
            let used = match used {
                Some(used) => PackUse { live: part.live, ..used },
                None => return Err(Error::internal("a new index needs a pack that is not known").with("pack", id)),
            };
            packs.push(used);
        }
        // The tables of new packs have copies as well.
        let copies: Vec<NodeRef> = packs.iter().filter_map(|p| p.table_copy).collect();
        let mut there: BTreeSet<Id> = packs.iter().map(|p| p.info.id).collect();
        for copy in copies {
            if there.insert(copy.pack) {
                packs.extend(fresh.get(&copy.pack));
            }
        }
        if self.run.bugs.has(Bug::ForgetPackAtMove) {
            packs.pop();
        }
        Ok(Root { run: self.run_id, backup: index.backup, streams: index.streams, packs })
    }

    async fn commit_moves(
        &mut self,
        state: State,
        moves: Vec<Move>,
        needs: &BTreeMap<Id, BTreeSet<Id>>,
    ) -> Result<(State, Vec<Move>)> {
        let (run, run_id) = (&self.run, self.run_id);
        let all = moves.len();
        let mut done = Vec::new();
        let decide = |state: &State| {
            done.clear();
            if let Some(fault) = state.faults.first() {
                return Err(Error::new(ErrorKind::Conflict, "the log has an entry that cannot be understood")
                    .with("entry", fault.seq)
                    .with("reason", &fault.reason));
            }
            let blind = run.bugs.has(Bug::IgnoreSweepAtMove);
            if state.closed.contains(&run_id) && !blind {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "a prune took this run for interrupted; nothing was moved",
                ));
            }
            let still = |m: &&Move| {
                let there = state.find(m.backup).is_some_and(|r| r.manifest.root.id == m.was);
                there && (blind || needs[&m.backup].is_disjoint(&state.swept))
            };
            done.extend(moves.iter().filter(still).cloned());
            if done.is_empty() {
                return Ok(Decision::Nothing);
            }
            let needed: BTreeSet<Id> = done.iter().flat_map(|m| &needs[&m.backup]).copied().collect();
            let revives = needed.into_iter().filter(|id| state.doomed.contains_key(id)).collect();
            Ok(Decision::Commit(Action::Moved { run: run_id, moves: done.clone(), revives }))
        };
        let (state, _) = self.job.commit(state, run, decide).await?;
        self.passed_over += (all - done.len()) as u64;
        Ok((state, done))
    }
}

struct RewrittenStream {
    stream: StoredStream,
    live: BTreeMap<Id, u64>,
    whole: bool,
}
