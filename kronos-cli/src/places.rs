//! Storages and the repositories on them: which one is meant, how it is opened or made.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use kronos_core::{
    ChunkerParameters, Error, ErrorKind, Mode, ProbeReport, Protection, Repository, Result, RunContext, Storage,
    SystemClock,
};
use kronos_service::metrics::MeasuredStorage;

use crate::app::App;
use crate::args::From;
use crate::config::variable;
use crate::errors::usage;
use kronos_service::{StorageEntry, mask};

/// A storage as the user named it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// For people, without secrets.
    pub(crate) name: String,
    scheme: String,
    storage: Arc<dyn Storage>,
}

impl Place {
    /// The directory of a local storage.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        (self.scheme == "file").then(|| self.storage.describe().into())
    }
}

impl App {
    /// The storage that a URL names.
    pub(crate) fn place(&self, url: &str) -> Result<Place> {
        let (scheme, settings) = kronos_storage::parse_storage_url(url)?;
        let mut storage = self.registry.storage(&scheme, &settings)?;
        // What lies nowhere in the configuration has no figures.
        if let Some(name) = self.storage_name(url) {
            storage = Arc::new(MeasuredStorage::new(storage, &name, self.metrics.clone(), Arc::new(SystemClock)));
        }
        Ok(Place { name: mask(&storage.describe()), scheme, storage })
    }

    /// The name that the configuration has for a location, whatever limits and secrets stand behind it.
    pub(crate) fn storage_name(&self, location: &str) -> Option<String> {
        let place = |url: &str| {
            let (scheme, mut settings) = kronos_storage::parse_storage_url(url).ok()?;
            Some((scheme, settings.location, settings.options.remove("endpoint")))
        };
        let wanted = place(location)?;
        let of_config = self.config.storages.iter().find(|(_, entry)| place(&entry.url).as_ref() == Some(&wanted));
        of_config.map(|(name, _)| name.clone())
    }

    /// The URL given, or that of the configuration's only storage.
    pub(crate) fn storage_url(&self, given: Option<&str>, flag: &str) -> Result<String> {
        // `main` names a storage of the configuration; a directory of that name is `./main`.
        let storages = &self.config.storages;
        let all: Vec<&StorageEntry> = storages.values().collect();
        match (given, all.as_slice()) {
            (Some(given), _) => match storages.get(given) {
                Some(storage) => storage.location(&variable),
                None => self.misspelt(given, flag).map_or_else(|| Ok(given.to_owned()), Err),
            },
            (None, [one]) => one.location(&variable),
            (None, []) => Err(usage("no storage was given", &format!("give {flag} STORAGE, or set KRONOS_STORAGE"))),
            (None, _) => {
                let names: Vec<&str> = storages.keys().map(String::as_str).collect();
                let message = "the configuration has several storages";
                Err(usage(message, &format!("name one with {flag}: {}", names.join(", "))))
            }
        }
    }

    /// What is nearly the name of a storage is hardly meant to be a new directory.
    fn misspelt(&self, given: &str, flag: &str) -> Option<Error> {
        if given.contains(['/', ':']) || std::path::Path::new(given).exists() {
            return None;
        }
        let near = kronos_core::nearest(given, self.config.storages.keys().map(String::as_str))?;
        let hint = format!("did you mean {near}? A directory of that name is {flag} ./{given}");
        let error =
            Error::new(ErrorKind::NotFound, "the configuration has no such storage").with("storage name", given);
        Some(error.with("hint", hint))
    }

    /// Finds out what a storage can do, with a few objects that are removed again.
    pub(crate) async fn probe(&self, place: &Place) -> Result<ProbeReport> {
        kronos_core::probe(&*place.storage, &self.run).await
    }

    /// Opens the repository that a command reads or changes.
    pub(crate) async fn open_from(&self, from: &From) -> Result<Repository> {
        let place = self.place(&self.storage_url(from.from.as_deref(), "--from")?)?;
        self.open(&place).await
    }

    /// Opens a repository. `NotFound` when the storage is empty.
    pub(crate) async fn open(&self, place: &Place) -> Result<Repository> {
        let credentials = self.keys()?.credentials()?;
        let repository = Repository::open(Arc::clone(&place.storage), &credentials, &self.run).await?;
        self.keys()?.check(&repository)?;
        self.pin(place, &repository)?;
        Ok(repository)
    }

    /// Opens a repository, or tells that the storage is empty.
    pub(crate) async fn open_if_there(&self, place: &Place) -> Result<Option<Repository>> {
        match self.open(place).await {
            Ok(repository) => Ok(Some(repository)),
            Err(e) if e.kind() == ErrorKind::NotFound && e.context("storage").is_some() => {
                self.known.check_gone(&place.name)?;
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// Makes a repository, protected as the flags or the configuration say.
    pub(crate) async fn init(&self, place: &Place) -> Result<Repository> {
        if place.storage.list(None, None).await?.is_empty() {
            self.known.check_gone(&place.name)?;
        }
        let protection = self.keys()?.protection()?;
        let storage = Arc::clone(&place.storage);
        let made = Repository::init(storage, &protection, ChunkerParameters::default(), &self.run).await?;
        self.keys()?.keep_writer_key(&made)?;
        if place.scheme == "memory" {
            self.warn("what is stored in `memory:` is gone when this command ends: it is for tests");
        }
        if matches!(protection, Protection::None) && !["file", "memory"].contains(&place.scheme.as_str()) {
            self.out.note(&format!(
                "the repository on {} is not encrypted: the storage's operator can read it",
                place.name
            ));
        }
        self.made(place, &made)?;
        Ok(made)
    }

    /// Makes a repository that opens with the keys of another.
    async fn init_like(&self, place: &Place, other: &Repository) -> Result<Repository> {
        let made = Repository::init_like(Arc::clone(&place.storage), other, &self.run).await?;
        self.made(place, &made)?;
        Ok(made)
    }

    /// Opens the repository, or makes one.
    pub(crate) async fn open_or_init(&self, place: &Place) -> Result<Repository> {
        let _one = self.making.lock().await;
        match self.open_if_there(place).await? {
            Some(repository) => Ok(repository),
            None => self.init(place).await,
        }
    }

    /// Opens the repository, or makes one that opens with the keys of another.
    pub(crate) async fn open_or_init_like(&self, place: &Place, other: &Repository) -> Result<Repository> {
        let _one = self.making.lock().await;
        match self.open_if_there(place).await? {
            Some(repository) => Ok(repository),
            None => self.init_like(place, other).await,
        }
    }

    fn made(&self, place: &Place, repository: &Repository) -> Result<()> {
        let how = match repository.mode() {
            Mode::Plain => "not encrypted",
            Mode::Encrypted => "encrypted",
            Mode::Recipients => "encrypted for its recipients",
        };
        self.out.note(&format!("made a repository on {}, {how}", place.name));
        self.pin(place, repository)
    }

    /// What is in memory is another one in each process.
    fn pin(&self, place: &Place, repository: &Repository) -> Result<()> {
        if place.scheme == "memory" { Ok(()) } else { self.known.check(repository) }
    }
}

/// A storage together with the keys and what is known of it.
#[derive(Debug)]
struct Opened<'a> {
    app: &'a App,
    place: Place,
}

impl kronos_service::Places for App {
    fn place<'a>(&'a self, location: &str) -> Result<Box<dyn kronos_service::Place + 'a>> {
        Ok(Box::new(Opened { app: self, place: self.place(location)? }))
    }
}

#[async_trait]
impl kronos_service::Place for Opened<'_> {
    fn name(&self) -> &str {
        &self.place.name
    }

    async fn open(&self, _: &RunContext) -> Result<Option<Repository>> {
        self.app.open_if_there(&self.place).await
    }

    fn check_init(&self) -> Result<()> {
        self.app.keys()?.protection().map(drop)
    }

    async fn open_or_init(&self, like: Option<&Repository>, _: &RunContext) -> Result<Repository> {
        match like {
            Some(like) => self.app.open_or_init_like(&self.place, like).await,
            None => self.app.open_or_init(&self.place).await,
        }
    }
}
