//! What is known of a repository's storage: found out once, written down beside the repository, and
//! looked up by whoever commits.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::id::Id;
use crate::probe::{ProbeReport, probe};
use crate::run::RunContext;
use crate::storage::{Atomicity, Storage, StorageExt};

use super::retry::retry;
use super::seal::{self, ObjectKind, Place};
use super::{Repository, layout};

/// Probes a storage of which it is not certain that it keeps its promises; refuses one that does not.
pub(super) async fn probe_unproven(storage: &dyn Storage, run: &RunContext) -> Result<Option<ProbeReport>> {
    if storage.atomicity() == Atomicity::Proven {
        return Ok(None);
    }
    let report = probe(storage, run).await?;
    report.check(storage.atomicity() == Atomicity::SingleWriter)?;
    Ok(Some(report))
}

impl Repository {
    /// What its storage can do: looked up, or found out now. An error when a commit would not be
    /// safe there. `None` for a storage that needs no probe.
    pub(crate) async fn probed(&self, run: &RunContext) -> Result<Option<&ProbeReport>> {
        let storage = self.storage();
        let known = self.inner.probed.get_or_try_init(async || {
            if storage.atomicity() == Atomicity::Proven {
                return Ok(None);
            }
            if let Some(report) = self.recorded(run).await? {
                report.check(storage.atomicity() == Atomicity::SingleWriter)?;
                return Ok(Some(report));
            }
            let report = probe_unproven(&**storage, run).await?;
            self.record(report.as_ref(), run).await?;
            Ok(report)
        });
        Ok(known.await?.as_ref())
    }

    /// Whether its storage takes an object in parts, as far as that is known.
    pub(crate) fn takes_parts(&self) -> bool {
        self.inner.probed.get().and_then(Option::as_ref).is_none_or(|report| report.parts)
    }

    /// Keeps what was found out before the repository was made.
    pub(super) async fn note_probed(&self, report: Option<ProbeReport>, run: &RunContext) -> Result<()> {
        self.record(report.as_ref(), run).await?;
        // Nobody else has this repository yet.
        let _ = self.inner.probed.set(report);
        Ok(())
    }

    async fn record(&self, report: Option<&ProbeReport>, run: &RunContext) -> Result<()> {
        let Some(report) = report else { return Ok(()) };
        let place = self.probe_place();
        let text =
            serde_json::to_vec(report).map_err(|e| Error::internal("a report cannot be written").with_source(e))?;
        let object = Bytes::from(seal::seal_record(self.key_set().meta.bytes(), &place, &text, run)?);
        retry(run, "note what the storage can do", || self.storage().put(&place.key, object.clone())).await
    }

    /// What is written down of this very storage. What cannot be read is found out again.
    async fn recorded(&self, run: &RunContext) -> Result<Option<ProbeReport>> {
        let place = self.probe_place();
        let object = retry(run, "look what the storage can do", || self.storage().get_if_there(&place.key)).await?;
        let text = object.and_then(|object| seal::open_record(self.key_set().meta.bytes(), &place, &object).ok());
        let report = text.and_then(|text| serde_json::from_slice::<ProbeReport>(&text).ok());
        Ok(report.filter(|report| report.storage == self.storage().describe()))
    }

    fn probe_place(&self) -> Place {
        let key = layout::probe_record(&self.storage().describe());
        Place { repository: self.id(), job: Id([0; 16]), kind: ObjectKind::Probe, key }
    }
}
