//! What must be true after each step and in the end.

use std::collections::BTreeMap;

use kronos_core::testing::{MemorySource, needed_and_idle};
use kronos_core::{
    BackupOptions, ErrorKind, Id, PruneOptions, ReadData, Repository, RestoreOptions, RunContext, backup, check, copy,
    list, prune, restore,
};

use crate::history::{Check, GRACE, JOBS, World, job_of};
use crate::ledger::{Contents, Fate};

impl World {
    /// Looks at everything with a client that has no faults.
    pub(crate) async fn judge(&mut self) -> Check {
        for at in 0..2 {
            for job in JOBS {
                self.judge_job(at, job).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn judge_job(&mut self, at: usize, job: &'static str) -> Check {
        let run = RunContext::reproducible(0, &self.clock);
        let repository = self.clean(at).await;
        let listing = match list(&repository, Some(job), &run).await {
            Ok(listing) => listing,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(format!("place {at}: {job} cannot be listed: {e:?}")),
        };
        let damaged = self.is_damaged(at, job);
        let harmed = self.places[at].harmed.contains_key(job);
        if !damaged && !listing.warnings.is_empty() {
            return Err(format!("place {at}: the log has gone bad by itself: {:?}", listing.warnings));
        }
        let mut restored = BTreeMap::new();
        for info in &listing.backups {
            let target = MemorySource::new("target");
            match restore(&repository, info, &target, &RestoreOptions::new(), &run).await {
                Ok(_) => {
                    self.stats.restored += 1;
                    restored.insert(info.id, target.contents());
                }
                // A forgotten backup may come back while its Forget entry cannot be read.
                Err(_) if damaged => {}
                Err(e) if harmed && e.kind() == ErrorKind::Corrupt => {}
                Err(e) => return Err(format!("place {at}: backup {} of {job} does not restore: {e:?}", info.id)),
            }
        }
        let originals: Vec<Contents> = self.places[0]
            .ledgers
            .get(job)
            .map(|l| l.accounts.values().map(|a| &a.contents).chain(&l.unknown).cloned().collect())
            .unwrap_or_default();
        let doubtful = self.places[at].doubtful.get(job).cloned().unwrap_or_default();
        let ledger = self.places[at].ledgers.entry(job).or_default();
        if at == 1 {
            // Whatever was in the first place may have been copied.
            ledger.unknown = originals;
            ledger.unknown.extend(doubtful);
        }
        for (id, contents) in &restored {
            if ledger.accounts.get(id).is_some_and(|a| a.contents != *contents) {
                return Err(format!("place {at}: backup {id} of {job} restores to something else"));
            }
        }
        if damaged || (harmed && restored.len() < listing.backups.len()) {
            return Ok(());
        }
        let ids: Vec<Id> = listing.backups.iter().map(|b| b.id).collect();
        ledger.compare(&ids, |id| restored.get(&id).cloned()).map_err(|e| format!("place {at}: {job}: {e}"))?;
        for info in &listing.backups {
            if let Some(account) = ledger.accounts.get_mut(&info.id) {
                if account.hold_in_doubt {
                    // An entry may still come late.
                    (account.held, account.hold_in_doubt) = (info.held, !self.clients.is_empty());
                } else if account.held != info.held {
                    return Err(format!("place {at}: backup {} of {job} should be held: {}", info.id, account.held));
                }
            }
        }
        Ok(())
    }

    /// Everything heals; then all that is not needed goes, and all that is needed stays.
    pub(crate) async fn end(&mut self) -> Check {
        self.note("-- the end".to_owned());
        self.repair_logs(0).await;
        self.repair_logs(1).await;
        self.judge().await?;
        for job in JOBS {
            self.heal(job).await?;
        }
        let sound: Vec<(usize, &'static str)> =
            (0..2).flat_map(|at| JOBS.map(|job| (at, job))).filter(|(at, job)| !self.is_damaged(*at, job)).collect();
        for (at, job) in &sound {
            let repository = self.clean(*at).await;
            self.last_backup(*at, job, &repository).await?;
        }
        for (at, job) in &sound {
            // Bad blocks that nobody needs are left behind by a compaction.
            let compact = self.places[0].scarred.contains(job) || self.prng.chance(0.3);
            self.judge_end(*at, job, compact).await?;
        }
        self.judge().await
    }

    /// One that nothing disturbs: it makes good what interrupted ones left half done.
    pub(crate) async fn last_backup(&mut self, at: usize, job: &'static str, repository: &Repository) -> Check {
        let run = RunContext::reproducible(self.prng.bits(), &self.clock);
        if at == 0 {
            let source = self.sources[job].clone();
            let made = backup(repository, &source, &BackupOptions::new(), &run).await;
            let made = made.map_err(|e| format!("the last backup of {job} failed: {e:?}"))?;
            let made = made.backup.ok_or("the last backup was skipped")?;
            self.places[at].ledgers.entry(job).or_default().committed(made.id, source.contents());
        } else if !self.is_damaged(0, job) {
            let from = self.clean(0).await;
            let copied = copy(&from, repository, job, &[], &run).await;
            copied.map_err(|e| format!("the last copy of {job} failed: {e:?}"))?;
        }
        Ok(())
    }

    pub(crate) async fn judge_end(&mut self, at: usize, job: &'static str, compact: bool) -> Check {
        let repository = self.clean(at).await;
        for n in 0..4 {
            let last = n == 3;
            self.clock.advance(GRACE * 3);
            let mut run = RunContext::reproducible(self.prng.bits(), &self.clock);
            run.limits.grace = GRACE;
            let mut options = PruneOptions::new(None).with_compact(compact && n == 0);
            options.trust_clock = true;
            let pruned = prune(&repository, job, &options, &run).await;
            self.note(format!("place {at}: {pruned:?}"));
            match pruned {
                // The half of an index that an interrupted run left is told of until it is swept.
                Ok(report) if !last || report.warnings.is_empty() => {}
                Ok(report) => return Err(format!("place {at}: the last prune of {job} warns: {:?}", report.warnings)),
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(format!("place {at}: the last prune of {job} failed: {e:?}")),
            }
        }
        let run = RunContext::reproducible(1, &self.clock);
        let (_, idle) = needed_and_idle(&repository, job, &run).await.map_err(|e| format!("{e:?}"))?;
        if !idle.is_empty() {
            return Err(format!("place {at}: {job}: nothing needs these, and they are still there: {idle:?}"));
        }
        let report = check(&repository, ReadData::All, &run).await.map_err(|e| format!("{e:?}"))?;
        let here: Vec<_> = report.problems.iter().filter(|p| job_of(&p.object) == job).collect();
        if here.is_empty() { Ok(()) } else { Err(format!("place {at}: check finds: {here:?}")) }
    }

    /// A check finds what is bad, the same contents come once more, and all is well.
    pub(crate) async fn heal(&mut self, job: &'static str) -> Check {
        if !self.places[0].harmed.contains_key(job) || self.is_damaged(0, job) {
            return Ok(());
        }
        // What comes late could be a backup that nobody here knows of.
        for client in std::mem::take(&mut self.clients) {
            client.settle().await;
        }
        let repository = self.clean(0).await;
        let run = RunContext::reproducible(self.prng.bits(), &self.clock).with_bug(self.bug);
        // Nobody has checked what no backup needs, and the next backup may take it for good.
        if let Ok((_, idle)) = needed_and_idle(&repository, job, &run).await {
            let place = &self.places[0];
            for (key, before) in place.harmed.get(job).into_iter().flatten() {
                if let Some(memory) = place.ground.memory().filter(|_| idle.contains(key)) {
                    memory.overwrite(key, before.clone());
                }
            }
        }
        let found = check(&repository, ReadData::All, &run).await.map_err(|e| format!("check of {job}: {e:?}"))?;
        self.note(format!("damaged: {:?}, {:?}", found.damaged_backups, found.problems));
        let source = self.sources[job].clone();
        let before = source.contents();
        let ledger = self.places[0].ledgers.entry(job).or_default();
        let known = ledger.accounts.values().filter(|a| a.fate != Fate::Gone).map(|a| a.contents.clone());
        let all: Vec<Contents> = known.chain(ledger.unknown.iter().cloned()).collect();
        for contents in all {
            replace(&source, &contents);
            let made = backup(&repository, &source, &BackupOptions::new(), &run).await;
            let made = made.map_err(|e| format!("a backup that was to heal {job} failed: {e:?}"))?;
            self.stats.healed += made.healed.len() as u64;
            self.note(format!("for the good of {job}: {made:?}"));
            let made = made.backup.ok_or("a backup that was to heal was skipped")?;
            self.places[0].ledgers.entry(job).or_default().committed(made.id, contents);
        }
        replace(&source, &before);
        self.note(format!("{job} has been healed"));
        self.places[0].harmed.remove(job);
        self.judge_job(0, job).await.map_err(|e| format!("after healing: {e}"))
    }
}

/// Makes a source what it was.
fn replace(source: &MemorySource, contents: &Contents) {
    for name in source.contents().keys().filter(|n| !contents.contains_key(*n)) {
        source.remove(name);
    }
    for (name, bytes) in contents {
        source.set(name, bytes.clone());
    }
}
