//! What must be true of a repository, whatever happened to it: an account of every backup that
//! was made, kept beside it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kronos_core::Id;

pub(crate) type Contents = BTreeMap<String, Bytes>;

/// What is known of one backup.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub contents: Contents,
    pub fate: Fate,
    pub held: bool,
    /// Someone asked for a hold or release and does not know whether it happened.
    pub hold_in_doubt: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Committed: it must be listed and restore exactly.
    There,
    /// Someone may have forgotten it: it may be listed.
    MaybeGone,
    /// Forgotten for certain: it must not come back.
    Gone,
}

/// The backups of one job in one repository.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub accounts: BTreeMap<Id, Account>,
    /// Contents that a run whose end is unknown may have committed.
    pub unknown: Vec<Contents>,
}

impl Ledger {
    pub(crate) fn committed(&mut self, backup: Id, contents: Contents) {
        self.accounts.insert(backup, Account { contents, fate: Fate::There, held: false, hold_in_doubt: false });
    }

    pub(crate) fn maybe_gone(&mut self, backups: &[Id]) {
        for id in backups {
            if let Some(account) = self.accounts.get_mut(id)
                && account.fate == Fate::There
            {
                account.fate = Fate::MaybeGone;
            }
        }
    }

    pub(crate) fn gone(&mut self, backup: Id) {
        if let Some(account) = self.accounts.get_mut(&backup) {
            account.fate = Fate::Gone;
        }
    }

    /// Compares a clean listing with the account. A backup nobody knew of must be one of those
    /// whose end is unknown; it is taken in. What may have gone, and is not there, is gone.
    pub(crate) fn compare(
        &mut self,
        listed: &[Id],
        contents_of: impl Fn(Id) -> Option<Contents>,
    ) -> Result<(), String> {
        let set: BTreeSet<Id> = listed.iter().copied().collect();
        if set.len() != listed.len() {
            return Err(format!("a backup is listed twice: {listed:?}"));
        }
        for id in &set {
            if let Some(account) = self.accounts.get(id) {
                if account.fate == Fate::Gone {
                    return Err(format!("backup {id} was forgotten and is back"));
                }
                continue;
            }
            let Some(found) = contents_of(*id) else {
                return Err(format!("backup {id}, whose commit was in doubt, is listed and cannot be restored"));
            };
            match self.unknown.iter().position(|c| *c == found) {
                Some(at) => {
                    self.unknown.remove(at);
                    self.committed(*id, found);
                    // It may have been held before it was known here.
                    if let Some(account) = self.accounts.get_mut(id) {
                        account.hold_in_doubt = true;
                    }
                }
                None => return Err(format!("backup {id} is listed and was never committed")),
            }
        }
        for (id, account) in &mut self.accounts {
            if account.fate == Fate::There && !set.contains(id) {
                return Err(format!("backup {id} was committed and is not listed"));
            }
            if account.fate == Fate::MaybeGone && !set.contains(id) {
                account.fate = Fate::Gone;
            }
        }
        Ok(())
    }
}
