//! What the clients do at a step, and what is entered into the account of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kronos_core::testing::{FaultPlan, FaultStorage};
use kronos_core::{Error, ErrorKind, Id, Retention, StorageOutcome};

use crate::deeds::{Deed, End, perform, shown};
use crate::history::{Check, Ends, GRACE, JOBS, World};
use crate::ledger::Fate;

impl World {
    /// One to three clients at the same time; now and then a slow backup with prunes beside it.
    pub(crate) async fn act(&mut self) -> Check {
        let mut deeds: Vec<(usize, Vec<Deed>)> = Vec::new();
        let job = JOBS[self.prng.index(2)];
        let stall = !self.is_real() && self.prng.chance(0.15) && self.listed(0, job).await.len() > 2;
        if stall {
            // A compaction so slow that prunes beside it take it for dead.
            deeds.push((0, vec![Deed::Prune { job, retention: None, compact: true }]));
            deeds.push((0, vec![Deed::Prune { job, retention: None, compact: false }; 4]));
        } else if self.prng.chance(0.25) {
            let job = JOBS[self.prng.index(2)];
            let prunes = (0..2 + self.prng.below(3))
                .map(|_| Deed::Prune { job, retention: None, compact: self.prng.chance(0.3) })
                .collect();
            deeds.push(match self.prng.below(3) {
                0 => (0, vec![Deed::Prune { job, retention: None, compact: true }]),
                _ => (0, vec![Deed::Backup { job, strategy: self.prng.below(3), slow: true }]),
            });
            deeds.push((0, prunes));
        }
        while !stall && deeds.len() < 3 && (deeds.is_empty() || self.prng.chance(0.5)) {
            let at = usize::from(self.prng.chance(0.2));
            if let Some(deed) = self.choose(at).await {
                deeds.push((at, vec![deed]));
            }
        }
        self.crowded = deeds.len() > 1;
        for deed in deeds.iter().flat_map(|(at, row)| row.iter().map(move |d| (*at, d))).collect::<Vec<_>>() {
            if let (at, Deed::Hold { job, backup, .. }) = deed {
                let ledger = self.places[at].ledgers.entry(job).or_default();
                if let Some(account) = ledger.accounts.get_mut(&backup.id) {
                    account.hold_in_doubt = true;
                }
            }
        }
        let mut running: Vec<Pin<Box<dyn Future<Output = Ends>>>> = Vec::new();
        for (at, row) in deeds {
            let mut clients = Vec::new();
            let pause = if stall { Duration::from_secs(5) } else { Duration::from_millis(400) };
            let jump = if stall { GRACE } else { GRACE / 2 } + Duration::from_hours(1);
            let stall_at = (row.len() == 1).then(|| 20 + self.prng.below(60));
            let stalls = FaultPlan { stall_at, ..FaultPlan::default() };
            for deed in row {
                let plan = if stall { stalls.clone() } else { self.plan() };
                let (seed, run, other) = (self.prng.bits(), self.run(), self.places[1 - at].ground.storage());
                let client = FaultStorage::new(self.places[at].ground.storage(), seed, plan.clone());
                self.clients.push(client.clone());
                self.note(format!("place {at}: {} with {plan:?}", shown(&deed)));
                // The same process on the other place.
                let mut plan = FaultPlan::default();
                if matches!(deed, Deed::Both { .. }) && self.prng.chance(0.7) {
                    plan = self.plan();
                    plan.stall_at = (!self.is_real() && self.prng.chance(0.3)).then(|| 1 + self.prng.below(40));
                    self.note(format!("and there with {plan:?}"));
                }
                let second = FaultStorage::new(Arc::clone(&other), seed ^ 1, plan);
                self.clients.push(second.clone());
                clients.push((deed, client, second, run, other));
            }
            let (sources, clock) = (self.sources.clone(), self.clock.clone());
            running.push(Box::pin(async move {
                let mut ends = Vec::new();
                let row = clients.len() > 1;
                for (deed, client, second, run, other) in clients {
                    if row {
                        clock.advance(jump);
                        tokio::time::sleep(pause).await;
                    }
                    let end = perform(&deed, &client, &second, other, &sources, run).await;
                    ends.push((at, deed, end));
                }
                ends
            }));
        }
        self.recent.clear();
        let mut ends: Vec<_> = futures::future::join_all(running).await.into_iter().flatten().collect();
        // What was done first, then what was seen meanwhile.
        ends.sort_by_key(|(_, deed, _)| match deed {
            Deed::Backup { .. } | Deed::Both { .. } | Deed::Copy { .. } => 0,
            Deed::List { .. } => 2,
            _ => 1,
        });
        for (at, deed, end) in ends {
            self.record(at, &deed, end)?;
        }
        Ok(())
    }

    pub(crate) async fn choose(&mut self, at: usize) -> Option<Deed> {
        let job = JOBS[self.prng.index(2)];
        let listed = self.listed(at, job).await;
        let some = (!listed.is_empty()).then(|| listed[self.prng.index(listed.len())].clone());
        let choice = self.prng.below(100);
        Some(match choice {
            0..=9 if at == 0 => Deed::Both { job, strategy: self.prng.below(3), patient: self.prng.chance(0.5) },
            0..=44 if at == 0 => Deed::Backup { job, strategy: self.prng.below(3), slow: false },
            0..=44 => Deed::Copy { job },
            45..=52 => Deed::Forget { job, backup: some? },
            53..=60 => Deed::Hold { job, backup: some?, on: self.prng.chance(0.6) },
            61..=74 => Deed::Prune { job, retention: None, compact: self.prng.chance(0.4) },
            75..=84 => {
                let retention = Retention {
                    last: 1 + u32::try_from(self.prng.below(3)).unwrap(),
                    daily: u32::try_from(self.prng.below(3)).unwrap(),
                    ..Retention::default()
                };
                Deed::Prune { job, retention: Some(retention), compact: self.prng.chance(0.2) }
            }
            85..=92 => Deed::Restore { job, backup: some? },
            _ => Deed::List { job },
        })
    }

    /// Enters into the account what a client was told.
    #[allow(clippy::too_many_lines, reason = "one arm for each deed and its end")]
    pub(crate) fn record(&mut self, at: usize, deed: &Deed, end: End) -> Check {
        if let Deed::Both { job, .. } = deed {
            return self.record_both(job, end);
        }
        let damaged = self.is_damaged(at, deed.job());
        let stats = &mut self.stats;
        let place = &mut self.places[at];
        let in_doubt = |e: &Error| e.context("in doubt").is_some();
        if let End::Crashed = end {
            stats.crashes += 1;
        }
        let mut line = String::new();
        match (deed, end) {
            (Deed::Backup { job, .. }, End::Backup(contents, result)) => {
                let ledger = place.ledgers.entry(job).or_default();
                match result {
                    Ok(Some(id)) => {
                        stats.committed += 1;
                        ledger.committed(id, contents);
                        self.recent.insert(id);
                        line = format!("backup {} committed", id.short());
                    }
                    Ok(None) => return Err("a backup was skipped".to_owned()),
                    Err(e) => {
                        line = format!("backup failed: {e}");
                        match e.kind() {
                            _ if in_doubt(&e) => {
                                stats.in_doubt += 1;
                                ledger.unknown.push(contents);
                            }
                            ErrorKind::Conflict => stats.conflicts += 1,
                            ErrorKind::Internal => return Err(format!("a backup failed with a bug: {e:?}")),
                            _ => stats.failed += 1,
                        }
                    }
                }
            }
            (Deed::Backup { job, .. }, _) => {
                let contents = self.sources[job].contents();
                place.ledgers.entry(job).or_default().unknown.push(contents);
            }
            (Deed::Forget { job, backup }, End::Done(Ok(()))) => {
                place.ledgers.entry(job).or_default().gone(backup.id);
            }
            (Deed::Forget { job, backup }, _) => place.ledgers.entry(job).or_default().maybe_gone(&[backup.id]),
            (Deed::Hold { job, backup, on }, end) => {
                if let Some(account) = place.ledgers.entry(job).or_default().accounts.get_mut(&backup.id) {
                    match end {
                        End::Done(Ok(())) if !self.crowded => (account.held, account.hold_in_doubt) = (*on, false),
                        // Of two at the same time nobody knows here which came last.
                        _ => account.hold_in_doubt = true,
                    }
                }
            }
            (Deed::Prune { job, retention, .. }, end) => {
                let ledger = place.ledgers.entry(job).or_default();
                // Held ones are kept for certain; of the others any may have been forgotten.
                let free: Vec<Id> =
                    ledger.accounts.iter().filter(|(_, a)| !a.held || a.hold_in_doubt).map(|(id, _)| *id).collect();
                if retention.is_some() {
                    ledger.maybe_gone(&free);
                }
                match end {
                    End::Prune(result) => match *result {
                        Ok(report) => {
                            stats.swept += report.swept;
                            stats.deleted += report.deleted;
                            stats.compacted += report.compaction.as_ref().map_or(0, |c| c.backups);
                            line = format!("prune: {report:?}");
                            if damaged {
                                return Err("a prune went on with a damaged log".to_owned());
                            }
                        }
                        Err(e) => {
                            line = format!("prune failed: {e}");
                            stats.refused += u64::from(e.kind() == ErrorKind::Corrupt);
                        }
                    },
                    _ => line.push_str("prune crashed"),
                }
            }
            (Deed::Copy { .. }, End::Copy(result)) => match result {
                Ok(report) => stats.copied += report.copied.len() as u64,
                Err(e) => line = format!("copy failed: {e}"),
            },
            (Deed::Restore { job, backup }, End::Restore(result, contents)) => {
                // A client with faults may fail, but what it restores is right.
                let known = place.ledgers.get(job).and_then(|l| l.accounts.get(&backup.id));
                if let (Ok(()), Some(account)) = (&result, known)
                    && account.contents != contents
                {
                    return Err(format!("backup {} was restored wrong", backup.id));
                }
            }
            (Deed::List { job }, End::List(Ok(listed))) => {
                let ledger = place.ledgers.entry(job).or_default();
                // Only what others did at the same time may explain a missing one.
                for (id, account) in &ledger.accounts {
                    if account.fate == Fate::There && !damaged && !listed.contains(id) && !self.recent.contains(id) {
                        return Err(format!("a client with bad listings did not see backup {id}"));
                    }
                }
            }
            _ => {}
        }
        if !line.is_empty() {
            self.note(line);
        }
        Ok(())
    }

    /// The same of a backup into both places.
    fn record_both(&mut self, job: &'static str, end: End) -> Check {
        let (contents, outcomes) = match end {
            End::Both(contents, Ok(outcomes)) => (contents, outcomes),
            End::Both(_, Err(e)) if e.kind() == ErrorKind::Internal => {
                return Err(format!("a backup into both places failed with a bug: {e:?}"));
            }
            End::Both(contents, Err(e)) => {
                self.note(format!("backup to both failed: {e}"));
                self.stats.failed += 1;
                if e.to_string().contains("in doubt") {
                    self.places.iter_mut().for_each(|place| place.doubt(job, contents.clone()));
                }
                return Ok(());
            }
            _ => {
                self.stats.crashes += 1;
                let contents = self.sources[job].contents();
                self.places.iter_mut().for_each(|place| place.doubt(job, contents.clone()));
                return Ok(());
            }
        };
        for (at, outcome) in outcomes.into_iter().enumerate() {
            self.note(format!("place {at}: {outcome:?}"));
            match outcome {
                StorageOutcome::Committed(backup) => {
                    self.stats.committed += 1;
                    self.stats.both += at as u64;
                    self.places[at].ledgers.entry(job).or_default().committed(backup.id, contents.clone());
                    self.recent.insert(backup.id);
                }
                StorageOutcome::NothingToDo => return Err("a backup was skipped".to_owned()),
                StorageOutcome::Failed(e) | StorageOutcome::Dropped(e) => {
                    self.stats.left_out += 1;
                    self.stats.conflicts += u64::from(e.kind() == ErrorKind::Conflict);
                    if e.kind() == ErrorKind::Internal {
                        return Err(format!("place {at} was left out because of a bug: {e:?}"));
                    }
                    if e.context("in doubt").is_some() {
                        self.stats.in_doubt += 1;
                        self.places[at].doubt(job, contents.clone());
                    }
                }
            }
        }
        Ok(())
    }
}
