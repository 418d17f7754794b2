//! A job in a repository: its identity, and the way to its objects.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::connector::Fingerprint;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::run::RunContext;
use crate::storage::{Key, Storage, StorageExt};
use crate::time::Timestamp;

use super::layout::{self, JobLayout};
use super::retry::retry;
use super::seal::{self, ObjectKind, Place};
use super::{Flaw, Repository};

/// What the job's object says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct JobRecord {
    id: Id,
    name: String,
    fingerprint: Fingerprint,
    created: Timestamp,
}

/// One job of an opened repository.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    repository: Repository,
    name: Arc<str>,
    id: Id,
    fingerprint: Fingerprint,
    layout: JobLayout,
}

impl Job {
    /// Opens a job. `NotFound` when the repository has none of this name.
    pub(crate) async fn open(repository: &Repository, name: &str, run: &RunContext) -> Result<Self> {
        let layout = JobLayout::new(name)?;
        let mut damage = None;
        for key in [layout.job(), layout.job_copy()] {
            match retry(run, "read the job", || repository.storage().get_if_there(&key)).await? {
                None => {}
                Some(object) => match read_record(repository, &layout, &object) {
                    Ok(JobRecord { id, fingerprint, name: found, .. }) if found == name => {
                        return Ok(Self { repository: repository.clone(), name: name.into(), id, fingerprint, layout });
                    }
                    Ok(_) => damage = Some(Error::corrupt("the job's record names another job").with("object", &key)),
                    Err(e) => damage = Some(e),
                },
            }
        }
        Err(damage
            .unwrap_or_else(|| Error::new(ErrorKind::NotFound, "the repository has no such job").with("job", name)))
    }

    /// Opens a job, or makes it for this source. A job of another source is refused.
    pub(crate) async fn open_or_create(
        repository: &Repository,
        name: &str,
        fingerprint: &Fingerprint,
        run: &RunContext,
    ) -> Result<Self> {
        repository.probed(run).await?;
        let job = match Self::open(repository, name, run).await {
            Ok(job) => job,
            Err(e) if e.kind() == ErrorKind::NotFound => Self::create(repository, name, fingerprint, run).await?,
            Err(e) => return Err(e),
        };
        if job.fingerprint.is_same_source(fingerprint) {
            job.heal_copies(run).await?;
            return Ok(job);
        }
        Err(Error::new(ErrorKind::Conflict, "the job holds backups of another source")
            .with("job", name)
            .with("its source", shown(&job.fingerprint))
            .with("this source", shown(fingerprint)))
    }

    async fn create(repository: &Repository, name: &str, fingerprint: &Fingerprint, run: &RunContext) -> Result<Self> {
        let layout = JobLayout::new(name)?;
        let key = layout.job();
        // A log without its job cannot be read any more; a new job there would bury it.
        let entries = {
            let log = layout.log();
            retry(run, "list the log", || repository.storage().list(Some(&log), None)).await?
        };
        if let Some(entry) = entries.first() {
            return Err(Error::corrupt("the job's record is lost, but there are entries of its log")
                .with("object", &key)
                .with("entry", &entry.key));
        }
        let record = JobRecord {
            id: Id(run.random()),
            name: name.to_owned(),
            fingerprint: fingerprint.clone(),
            created: run.now(),
        };
        let text =
            serde_json::to_vec(&record).map_err(|e| Error::internal("a job cannot be written").with_source(e))?;
        let meta = repository.key_set().meta;
        let object = Bytes::from(seal::seal_record(meta.bytes(), &place(repository, &key), &text, run)?);
        retry(run, "write the job", || repository.storage().put_if_absent(&key, object.clone())).await?;
        // Whoever was first has made it; what is there now is the job.
        let made = retry(run, "read the job", || repository.storage().get(&key)).await?;
        let copy = layout.job_copy();
        retry(run, "write the job's copy", || repository.storage().put(&copy, made.clone())).await?;
        Self::open(repository, name, run).await
    }

    /// Makes good what is lost or damaged of the job's record and of the repository's header, as
    /// when their maker was interrupted before it wrote the second copy.
    async fn heal_copies(&self, run: &RunContext) -> Result<()> {
        let repository = &self.repository;
        let header = Bytes::from(repository.inner.header.encode(&repository.inner.keys));
        let mut record = None;
        for key in [self.layout.job(), self.layout.job_copy()] {
            let found = retry(run, "read the job", || self.storage().get_if_there(&key)).await?;
            let own = |object: &Bytes| read_record(repository, &self.layout, object).is_ok_and(|r| r.id == self.id);
            record = record.or(found.filter(own));
        }
        let mut wanted = vec![(layout::header(), header.clone()), (layout::header_copy(repository.id()), header)];
        if let Some(record) = record {
            wanted.extend([(self.layout.job(), record.clone()), (self.layout.job_copy(), record)]);
        }
        for (key, good) in wanted {
            let found = retry(run, "look at a record", || self.storage().get_if_there(&key)).await?;
            // One that can be read stays as it is: a newer version may have written more into it.
            let sound = found.is_some_and(|object| {
                super::header::Header::decode(&object).is_ok() || read_record(repository, &self.layout, &object).is_ok()
            });
            if !sound {
                retry(run, "write a record again", || self.storage().put(&key, good.clone())).await?;
            }
        }
        Ok(())
    }

    /// Compares the job's object with its copy; names each that is missing or damaged.
    pub(crate) async fn damaged_records(&self, run: &RunContext) -> Result<Vec<Flaw>> {
        let mut damage = Vec::new();
        for key in [self.layout.job(), self.layout.job_copy()] {
            match retry(run, "read the job", || self.storage().get_if_there(&key)).await? {
                None => damage.push(Flaw::missing(key, &self.layout.job_copy())),
                Some(object) => match read_record(&self.repository, &self.layout, &object) {
                    Ok(record) if record.id == self.id => {}
                    Ok(_) => damage.push(Flaw::damage(key, "it is of another job")),
                    Err(e) => damage.push(Flaw::damage(key, e.message())),
                },
            }
        }
        Ok(damage)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn id(&self) -> Id {
        self.id
    }

    pub(crate) fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    pub(crate) fn repository(&self) -> &Repository {
        &self.repository
    }

    pub(crate) fn layout(&self) -> &JobLayout {
        &self.layout
    }

    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        self.repository.storage()
    }

    pub(crate) fn meta_key(&self) -> &[u8; 32] {
        self.repository.inner.keys.meta.bytes()
    }

    /// Where an object of this job belongs. A data pack is sealed once for all repositories of
    /// the family, so it belongs into each of them, under its name.
    pub(crate) fn place(&self, kind: ObjectKind, key: Key) -> Place {
        match kind {
            ObjectKind::DataPack => Place { repository: self.repository.family(), job: Id([0; 16]), kind, key },
            _ => Place { repository: self.repository.id(), job: self.id, kind, key },
        }
    }
}

/// The copy is the same bytes, sealed for the place of the original.
fn place(repository: &Repository, key: &Key) -> Place {
    Place { repository: repository.id(), job: Id([0; 16]), kind: ObjectKind::Job, key: key.clone() }
}

fn read_record(repository: &Repository, layout: &JobLayout, object: &[u8]) -> Result<JobRecord> {
    let place = place(repository, &layout.job());
    let text = seal::open_record(repository.key_set().meta.bytes(), &place, object)?;
    serde_json::from_slice(&text)
        .map_err(|e| Error::corrupt("the job's record is malformed").with("object", &place.key).with_source(e))
}

fn shown(fingerprint: &Fingerprint) -> String {
    fingerprint.identities.iter().next_back().cloned().unwrap_or_default()
}
