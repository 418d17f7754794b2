//! The servers that tests run on, as `scripts/servers` names them in the environment, and tests that
//! are ignored, with the reason, where there is none.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod proxy;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kronos_core::{Registry, Storage, StorageSettings};
use libtest_mimic::{Failed, Trial};

/// A server with room for storages.
#[derive(Debug, Clone)]
pub struct Server {
    pub name: &'static str,
    pub scheme: &'static str,
    /// Bucket or container, with the account where there is one.
    pub bucket: String,
    pub options: BTreeMap<String, String>,
}

/// The servers that the suite runs on by itself, and those that are for longer runs.
pub const SERVERS: [&str; 3] = ["s3", "azure", "gcs"];

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} is not set: scripts/servers"))
}

fn options<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Server {
    /// The server of this name, or why there is none.
    pub fn named(name: &'static str) -> Result<Self, String> {
        match name {
            "s3" => Ok(Self {
                name,
                scheme: "s3",
                bucket: variable("KRONOS_TEST_S3_BUCKET")?,
                options: options([
                    ("endpoint", variable("KRONOS_TEST_S3_ENDPOINT")?),
                    ("region", variable("KRONOS_TEST_S3_REGION")?),
                    ("access_key_id", variable("KRONOS_TEST_S3_ACCESS_KEY")?),
                    ("secret_access_key", variable("KRONOS_TEST_S3_SECRET_KEY")?),
                ]),
            }),
            "azure" => Ok(Self {
                name,
                scheme: "az",
                bucket: format!(
                    "{}/{}",
                    variable("KRONOS_TEST_AZURE_ACCOUNT")?,
                    variable("KRONOS_TEST_AZURE_CONTAINER")?
                ),
                options: options([
                    ("endpoint", variable("KRONOS_TEST_AZURE_ENDPOINT")?),
                    ("access_key", variable("KRONOS_TEST_AZURE_KEY")?),
                ]),
            }),
            "gcs" => Ok(Self {
                name,
                scheme: "gs",
                bucket: variable("KRONOS_TEST_GCS_BUCKET")?,
                options: options([
                    ("endpoint", variable("KRONOS_TEST_GCS_ENDPOINT")?),
                    ("service_account", variable("KRONOS_TEST_GCS_SERVICE_ACCOUNT")?),
                ]),
            }),
            "moto" => Ok(Self {
                name,
                scheme: "s3",
                bucket: variable("KRONOS_TEST_MOTO_BUCKET")?,
                options: options([
                    ("endpoint", variable("KRONOS_TEST_MOTO_ENDPOINT")?),
                    ("access_key_id", "anyone".to_owned()),
                    ("secret_access_key", "anything".to_owned()),
                ]),
            }),
            "s3s" => Ok(Self {
                name,
                scheme: "s3",
                bucket: variable("KRONOS_TEST_S3S_BUCKET")?,
                options: options([
                    ("endpoint", variable("KRONOS_TEST_S3S_ENDPOINT")?),
                    ("access_key_id", variable("KRONOS_TEST_S3S_ACCESS_KEY")?),
                    ("secret_access_key", variable("KRONOS_TEST_S3S_SECRET_KEY")?),
                ]),
            }),
            _ => Err(format!("there is no server {name}")),
        }
    }

    /// The same with another option.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.options.insert(name.to_owned(), value.into());
        self
    }

    /// The same without an option.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.options.remove(name);
        self
    }

    /// Where nobody has been before.
    pub fn fresh(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("{}/t{now}-{}-{n}", self.bucket, std::process::id())
    }

    /// A storage at a place that [`fresh`](Self::fresh) has given.
    pub fn try_open(&self, location: &str) -> kronos_core::Result<Arc<dyn Storage>> {
        let mut registry = Registry::new();
        kronos_storage::register(&mut registry);
        let settings = StorageSettings { location: location.to_owned(), options: self.options.clone() };
        registry.storage(self.scheme, &settings)
    }

    pub fn open(&self, location: &str) -> Arc<dyn Storage> {
        self.try_open(location).unwrap()
    }

    /// A URL that names a location with all options.
    pub fn url(&self, location: &str) -> String {
        let escape =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let query: Vec<String> = self.options.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        format!("{}://{location}?{}", self.scheme, query.join("&"))
    }
}

/// A test on a server: ignored with the reason where there is none, unless it is required.
pub fn on(server: &'static str, name: &str, test: impl FnOnce(Server) + Send + 'static) -> Trial {
    let name = format!("{server}::{name}");
    match Server::named(server) {
        Ok(server) => Trial::test(name, move || {
            test(server);
            Ok(())
        }),
        Err(reason) if is_required(server) => Trial::test(name, move || Err(Failed::from(reason))),
        Err(reason) => Trial::test(format!("{name} ({reason})"), || Ok(())).with_ignored_flag(true),
    }
}

/// Whether tests on this server must not be left out.
fn is_required(server: &str) -> bool {
    let required = std::env::var("KRONOS_TEST_REQUIRE").unwrap_or_default();
    required.split([',', ' ']).any(|name| name == server || (name == "all" && SERVERS.contains(&server)))
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}
