//! Maps names of engines and schemes of URLs to the code behind them. Explicit: nothing
//! registers itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::connector::{Connector, Engine};
use crate::error::{Error, ErrorKind, Result};
use crate::inspect::{Inspect, PoolSettings};
use crate::secret::Secret;
use crate::storage::Storage;

/// What is needed to make a connector, from a URL or from a configuration.
#[derive(Debug, Clone, Default)]
pub struct SourceSettings {
    /// Host name; for SQLite the directory of the files.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// User name.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// The databases chosen; for SQLite the files. Empty: all.
    pub databases: Vec<String>,
    /// Further settings by name, such as `tls` or `spool_dir`.
    pub options: BTreeMap<String, String>,
}

/// What is needed to make a storage: a URL, taken apart.
#[derive(Debug, Clone, Default)]
pub struct StorageSettings {
    /// The whole location as the user wrote it, without its query and scheme.
    pub location: String,
    /// The query's settings and those of the configuration, by name.
    pub options: BTreeMap<String, String>,
}

type MakeConnector = dyn Fn(&SourceSettings) -> Result<Arc<dyn Connector>> + Send + Sync;
type MakeDatabase = dyn Fn(&SourceSettings, &PoolSettings) -> Result<Arc<dyn Inspect>> + Send + Sync;
type MakeStorage = dyn Fn(&StorageSettings) -> Result<Arc<dyn Storage>> + Send + Sync;

/// The engines and storages that a program knows.
#[derive(Default)]
pub struct Registry {
    connectors: BTreeMap<String, Entry<MakeConnector>>,
    databases: BTreeMap<String, Entry<MakeDatabase>>,
    storages: BTreeMap<String, Entry<MakeStorage>>,
}

enum Entry<F: ?Sized> {
    Here(Box<F>),
    LeftOut { feature: &'static str },
}

impl Registry {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an engine.
    pub fn add_connector(
        &mut self,
        engine: &Engine,
        make: impl Fn(&SourceSettings) -> Result<Arc<dyn Connector>> + Send + Sync + 'static,
    ) {
        self.connectors.insert(engine.as_str().to_owned(), Entry::Here(Box::new(make)));
    }

    /// Adds a way to look into databases of an engine.
    pub fn add_database(
        &mut self,
        engine: &Engine,
        make: impl Fn(&SourceSettings, &PoolSettings) -> Result<Arc<dyn Inspect>> + Send + Sync + 'static,
    ) {
        self.databases.insert(engine.as_str().to_owned(), Entry::Here(Box::new(make)));
    }

    /// Adds a storage under the scheme of its URLs.
    pub fn add_storage(
        &mut self,
        scheme: &str,
        make: impl Fn(&StorageSettings) -> Result<Arc<dyn Storage>> + Send + Sync + 'static,
    ) {
        self.storages.insert(scheme.to_owned(), Entry::Here(Box::new(make)));
    }

    /// Names an engine that exists but is not in this build, so that the error can say which
    /// cargo feature brings it.
    pub fn leave_out_connector(&mut self, engine: &Engine, feature: &'static str) {
        self.connectors.entry(engine.as_str().to_owned()).or_insert(Entry::LeftOut { feature });
    }

    /// The same for looking into its databases.
    pub fn leave_out_database(&mut self, engine: &Engine, feature: &'static str) {
        self.databases.entry(engine.as_str().to_owned()).or_insert(Entry::LeftOut { feature });
    }

    /// The same for a storage's scheme.
    pub fn leave_out_storage(&mut self, scheme: &str, feature: &'static str) {
        self.storages.entry(scheme.to_owned()).or_insert(Entry::LeftOut { feature });
    }

    /// The engines that can be used.
    pub fn engines(&self) -> Vec<&str> {
        here(&self.connectors)
    }

    /// The schemes that can be used.
    pub fn schemes(&self) -> Vec<&str> {
        here(&self.storages)
    }

    /// Makes a connector and validates its settings.
    pub fn connector(&self, engine: &str, settings: &SourceSettings) -> Result<Arc<dyn Connector>> {
        let known = Engine::new(engine).map_or_else(|_| engine.to_owned(), String::from);
        let make = find(&self.connectors, &known, "engine")?;
        let connector = make(settings)?;
        connector.validate()?;
        Ok(connector)
    }

    /// Makes what looks into a source; connects to nothing yet.
    pub fn database(&self, engine: &str, settings: &SourceSettings, pool: &PoolSettings) -> Result<Arc<dyn Inspect>> {
        let known = Engine::new(engine).map_or_else(|_| engine.to_owned(), String::from);
        find(&self.databases, &known, "engine")?(settings, pool)
    }

    /// Makes a storage.
    pub fn storage(&self, scheme: &str, settings: &StorageSettings) -> Result<Arc<dyn Storage>> {
        find(&self.storages, scheme, "storage scheme")?(settings)
    }
}

fn here<F: ?Sized>(map: &BTreeMap<String, Entry<F>>) -> Vec<&str> {
    map.iter().filter(|(_, e)| matches!(e, Entry::Here(_))).map(|(k, _)| k.as_str()).collect()
}

fn find<'a, F: ?Sized>(map: &'a BTreeMap<String, Entry<F>>, name: &str, what: &'static str) -> Result<&'a F> {
    match map.get(name) {
        Some(Entry::Here(make)) => Ok(make),
        Some(Entry::LeftOut { feature }) => {
            Err(Error::new(ErrorKind::Unsupported, format!("this build leaves the {what} out"))
                .with("name", name)
                .with("cargo feature", feature))
        }
        None => {
            let mut error = Error::new(ErrorKind::Config, format!("unknown {what}"))
                .with("name", name)
                .with("known", here(map).join(" "));
            if let Some(near) = nearest(name, map.keys().map(String::as_str)) {
                error = error.with("did you mean", near);
            }
            Err(error)
        }
    }
}

/// The candidate that is spelled most like `word`, if one is close enough to be meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(word, c), c))
        .filter(|(distance, c)| *distance <= 1 + c.len().min(word.len()) / 3)
        .min()
        .map(|(_, c)| c)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("engines", &self.engines()).field("schemes", &self.schemes()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_gets_the_nearest_and_a_left_out_one_its_feature() {
        let mut registry = Registry::new();
        registry.leave_out_connector(&Engine::POSTGRES, "postgres");
        registry.leave_out_connector(&Engine::SQLITE, "sqlite");
        let error = registry.connector("postgrse", &SourceSettings::default()).unwrap_err();
        assert_eq!(error.context("did you mean"), Some("postgres"));
        let error = registry.connector("postgresql", &SourceSettings::default()).unwrap_err();
        assert_eq!((error.kind(), error.context("cargo feature")), (ErrorKind::Unsupported, Some("postgres")));
    }
}
