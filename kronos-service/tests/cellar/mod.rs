//! Storages in memory that a test takes down and brings up again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kronos_core::testing::MemoryStorage;
use kronos_core::{
    BackupInfo, ChunkerParameters, Credentials, Error, ErrorKind, Protection, Repository, Result, RunContext, list,
};
use kronos_service::{Place, Places, StorageChoice};

/// Storages by name. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cellar {
    storages: BTreeMap<String, MemoryStorage>,
    down: Arc<Mutex<BTreeSet<String>>>,
}

impl Cellar {
    /// Storages of these names, empty and up.
    pub(crate) fn of(names: &[&str]) -> Self {
        let storages = names.iter().map(|name| ((*name).to_owned(), MemoryStorage::new())).collect();
        Self { storages, down: Arc::default() }
    }

    pub(crate) fn take_down(&self, name: &str) {
        self.down.lock().unwrap().insert(name.to_owned());
    }

    pub(crate) fn bring_up(&self, name: &str) {
        self.down.lock().unwrap().remove(name);
    }

    /// All of them, as a job names them.
    pub(crate) fn choices(&self) -> Vec<StorageChoice> {
        let choice = |name: &String| StorageChoice { name: Some(name.clone()), location: name.clone() };
        self.storages.keys().map(choice).collect()
    }

    /// The backups on a storage, oldest first.
    pub(crate) async fn backups(&self, name: &str) -> Vec<BackupInfo> {
        let storage = Arc::new(self.storages[name].clone());
        let repository = Repository::open(storage, &Credentials::None, &RunContext::new()).await.unwrap();
        list(&repository, None, &RunContext::new()).await.unwrap().backups
    }
}

impl Places for Cellar {
    fn place<'a>(&'a self, location: &str) -> Result<Box<dyn Place + 'a>> {
        let storage = self.storages.get(location).cloned();
        let storage = storage.ok_or_else(|| Error::new(ErrorKind::Config, "no such storage"))?;
        Ok(Box::new(Shelf { name: location.to_owned(), storage, cellar: self }))
    }
}

#[derive(Debug)]
struct Shelf<'a> {
    name: String,
    storage: MemoryStorage,
    cellar: &'a Cellar,
}

impl Shelf<'_> {
    fn check_up(&self) -> Result<()> {
        if self.cellar.down.lock().unwrap().contains(&self.name) {
            return Err(Error::new(ErrorKind::ConnectionFailed, "the storage is down").with("storage", &self.name));
        }
        Ok(())
    }
}

#[async_trait]
impl Place for Shelf<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    async fn open(&self, run: &RunContext) -> Result<Option<Repository>> {
        self.check_up()?;
        match Repository::open(Arc::new(self.storage.clone()), &Credentials::None, run).await {
            Ok(repository) => Ok(Some(repository)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn check_init(&self) -> Result<()> {
        Ok(())
    }

    async fn open_or_init(&self, like: Option<&Repository>, run: &RunContext) -> Result<Repository> {
        if let Some(there) = self.open(run).await? {
            return Ok(there);
        }
        let storage = Arc::new(self.storage.clone());
        match like {
            Some(like) => Repository::init_like(storage, like, run).await,
            None => Repository::init(storage, &Protection::None, ChunkerParameters::default(), run).await,
        }
    }
}
