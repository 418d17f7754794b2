//! How a mock database is made.

use kronos_core::Result;
use kronos_core::inspect::PoolSettings;

use super::answer::MockAnswer;
use super::data::MockTestData;
use super::database::MockDatabase;
use super::errors::{Errors, MockErrorConfig};
use super::image::{Bytes, Image, failed, make};
use super::latency::MockLatency;
use super::matching::MockMatch;
use super::memory::Store;
use super::script::Scripts;

/// What a [`MockDatabase`] is made of.
#[derive(Debug, Clone)]
pub struct MockBuilder {
    name: String,
    pub(super) base: Option<Bytes>,
    seeds: Vec<Seed>,
    pub(super) scripts: Vec<(MockMatch, MockAnswer)>,
    pub(super) errors: MockErrorConfig,
    pub(super) latency: Vec<MockLatency>,
    pub(super) pool: PoolSettings,
    pub(super) scripted_only: bool,
}

/// What the data is made from.
#[derive(Debug, Clone)]
enum Seed {
    Sql(String),
    Generated(MockTestData),
}

impl MockBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: "mock".to_owned(),
            base: None,
            seeds: Vec::new(),
            scripts: Vec::new(),
            errors: MockErrorConfig::new(),
            latency: Vec::new(),
            pool: PoolSettings::default(),
            scripted_only: false,
        }
    }

    /// The name of the database. Default `mock`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Data, as statements of SQLite's SQL. May be given several times; each comes after those before.
    #[must_use]
    pub fn seed(mut self, sql: impl Into<String>) -> Self {
        self.seeds.push(Seed::Sql(sql.into()));
        self
    }

    /// Generated data, beside other.
    #[must_use]
    pub fn data(mut self, data: MockTestData) -> Self {
        self.seeds.push(Seed::Generated(data));
        self
    }

    /// What such statements come back with, instead of being run. They may be in any language, and are
    /// not judged. Of several scripts that fit, the first that has not answered often enough does.
    #[must_use]
    pub fn script(mut self, statements: impl Into<MockMatch>, answer: impl Into<MockAnswer>) -> Self {
        self.scripts.push((statements.into(), answer.into()));
        self
    }

    /// Refuses statements that have no script. Catalogs and the rows of tables are still those of the
    /// data.
    #[must_use]
    pub fn scripted_only(mut self) -> Self {
        self.scripted_only = true;
        self
    }

    /// Errors that come on purpose. Default none.
    #[must_use]
    pub fn errors(mut self, errors: MockErrorConfig) -> Self {
        self.errors = errors;
        self
    }

    /// How long calls take. May be given several times; what concerns a call adds up. Default no time.
    #[must_use]
    pub fn latency(mut self, latency: impl Into<MockLatency>) -> Self {
        self.latency.push(latency.into());
        self
    }

    /// The bounds of the pool, and of what runs on it.
    #[must_use]
    pub fn pool(mut self, settings: PoolSettings) -> Self {
        self.pool = settings;
        self
    }

    /// Makes it, and its data: that takes as long as SQLite takes for it. `Config` when a setting
    /// makes no sense, and SQLite's error when a seed has one.
    pub fn build(self) -> Result<MockDatabase> {
        self.errors.validate()?;
        self.latency.iter().try_for_each(MockLatency::validate)?;
        let scripts = Scripts::default();
        for (statements, answer) in self.scripts {
            scripts.add(statements, answer)?;
        }
        let bytes = match self.base {
            // The same data costs nothing.
            Some(bytes) if self.seeds.is_empty() => bytes,
            base => make(&self.name, base, |connection| {
                (1_u32..).zip(&self.seeds).try_for_each(|(number, seed)| {
                    let sown = match seed {
                        Seed::Sql(sql) => connection.execute_batch(sql),
                        Seed::Generated(data) => data.fill(connection),
                    };
                    sown.map_err(|error| failed(error, &self.name).with("seed", number))
                })
            })?,
        };
        let store = Store::new(self.name, self.pool, Image::new(bytes));
        Ok(MockDatabase::new(store, scripts, Errors::new(self.errors), self.latency, self.scripted_only))
    }
}
