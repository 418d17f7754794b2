//! The server for tests, as `scripts/servers` names it in the environment, and tests that are ignored,
//! with the reason, where there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use kronos_connectors::mongodb::{Changes, MongodbSettings, MongodbSource};
use kronos_core::testing::MemoryStorage;
use kronos_core::{
    BackupInfo, BackupOptions, ChunkerParameters, Protection, Repository, RestoreOptions, RestoreReport, Result,
    RunContext, SourceSettings, backup, find_backup, restore,
};
use libtest_mimic::{Failed, Trial};
use mongodb::Client;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, RawDocumentBuf, doc, rawdoc};
use mongodb::options::ClientOptions;

/// A server, talked to by another client than the connector's.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) host: String,
    /// `SecantusDB`, which tells in no documented way how far an idle change stream or oplog has got: where
    /// nobody writes, changes are not followed.
    pub(crate) is_silent: bool,
    pub(crate) client: Client,
}

/// A database that is dropped at the end.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) server: Server,
    pub(crate) name: String,
    is_kept: bool,
}

impl Server {
    /// The server of the variable: one host, at which nobody has to log in.
    pub(crate) fn named() -> Result<String, String> {
        let url = std::env::var("KRONOS_TEST_MONGODB_URL");
        url.map_err(|_| "KRONOS_TEST_MONGODB_URL is not set: scripts/servers".to_owned())
    }

    pub(crate) async fn open() -> Self {
        let url = Self::named().unwrap();
        let host = url.split("://").nth(1).unwrap().split(['/', '?']).next().unwrap().to_owned();
        let mut options = ClientOptions::parse(&url).await.unwrap();
        // The test server is slow to answer while much else goes on, and a pool that is cleared ends a test.
        options.connect_timeout = Some(Duration::from_mins(2));
        let client = Client::with_options(options).unwrap();
        let build = client.database("admin").run_command(doc! { "buildInfo": 1 }).await.unwrap();
        Self { host, is_silent: build.contains_key("secantusVersion"), client }
    }

    pub(crate) fn port(&self) -> u16 {
        self.host.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub(crate) fn settings<const N: usize>(&self, databases: [&str; N]) -> MongodbSettings {
        let general = SourceSettings {
            host: Some(self.host.clone()),
            databases: databases.into_iter().map(str::to_owned).collect(),
            options: [("directConnection".to_owned(), "true".to_owned())].into(),
            ..SourceSettings::default()
        };
        let mut settings = MongodbSettings::from_source(&general).unwrap();
        if self.is_silent {
            settings.changes = Changes::None;
        }
        settings
    }

    pub(crate) fn source<const N: usize>(&self, databases: [&str; N]) -> MongodbSource {
        MongodbSource::new(self.settings(databases)).unwrap()
    }

    pub(crate) fn new_database(&self) -> Database {
        self.database_named(&fresh())
    }

    pub(crate) fn database_named(&self, name: &str) -> Database {
        Database { server: self.clone(), name: name.to_owned(), is_kept: false }
    }

    /// One that another owner drops.
    pub(crate) fn database_like(&self, name: &str) -> Database {
        Database { server: self.clone(), name: name.to_owned(), is_kept: true }
    }
}

impl Database {
    pub(crate) fn source(&self) -> MongodbSource {
        self.server.source([&self.name])
    }

    pub(crate) fn with(&self, change: impl FnOnce(&mut MongodbSettings)) -> MongodbSource {
        let mut settings = self.server.settings([&self.name]);
        change(&mut settings);
        MongodbSource::new(settings).unwrap()
    }

    #[track_caller]
    pub(crate) fn run(&self, ask: Document) -> impl Future<Output = Document> {
        let database = self.server.client.database(&self.name);
        let at = std::panic::Location::caller();
        async move {
            let answer = database.run_command(ask).await;
            let answer = answer.unwrap_or_else(|error| panic!("{at}: {error}"));
            assert!(!answer.contains_key("writeErrors"), "{at}: {answer}");
            answer
        }
    }

    pub(crate) async fn insert(&self, collection: &str, documents: Vec<RawDocumentBuf>) {
        let to = self.server.client.database(&self.name).collection::<RawDocumentBuf>(collection);
        to.insert_many(documents).await.unwrap();
    }

    pub(crate) async fn insert_new(&self, collection: &str) {
        self.insert(collection, vec![rawdoc! { "_id": ObjectId::new(), "body": fresh() }]).await;
    }

    /// The bytes of all documents, sorted.
    pub(crate) async fn documents(&self, collection: &str) -> Vec<Vec<u8>> {
        let from = self.server.client.database(&self.name).collection::<RawDocumentBuf>(collection);
        let found: Vec<RawDocumentBuf> = from.find(doc! {}).await.unwrap().try_collect().await.unwrap();
        let mut bytes: Vec<_> = found.into_iter().map(RawDocumentBuf::into_bytes).collect();
        bytes.sort();
        bytes
    }

    pub(crate) async fn names(&self) -> Vec<String> {
        let mut names = self.server.client.database(&self.name).list_collection_names().await.unwrap();
        names.sort();
        names
    }

    /// Everything in it: options, indexes, and a digest of the bytes of documents.
    pub(crate) async fn all(&self) -> String {
        let database = self.server.client.database(&self.name);
        let listed = database.run_cursor_command(doc! { "listCollections": 1 }).await.unwrap();
        let mut listed: Vec<Document> = listed.try_collect().await.unwrap();
        listed.sort_by_key(|one| one.get_str("name").unwrap().to_owned());
        let mut lines = Vec::new();
        for one in listed {
            let name = one.get_str("name").unwrap();
            let options = one.get_document("options").unwrap();
            lines.push(format!("{name}: {} {options}", one.get_str("type").unwrap()));
            if !options.contains_key("viewOn") {
                let indexes = database.run_cursor_command(doc! { "listIndexes": name }).await.unwrap();
                let indexes: Vec<Document> = indexes.try_collect().await.unwrap();
                let mut indexes: Vec<String> = indexes
                    .into_iter()
                    .map(|mut index| {
                        index.remove("ns");
                        format!("{name} index {index}")
                    })
                    .collect();
                indexes.sort();
                lines.extend(indexes);
            }
            let documents = self.documents(name).await;
            let digest = kronos_core::Digest::of(&documents.concat());
            lines.push(format!("{name}: {} documents {digest:?}", documents.len()));
        }
        lines.join("\n")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (client, name) = (self.server.client.clone(), self.name.clone());
        if self.is_kept {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            tokio::task::block_in_place(|| runtime.block_on(async { client.database(&name).drop().await }).ok());
        }
    }
}

/// Compares line by line, and shows only what differs.
#[track_caller]
pub(crate) fn assert_same(found: &str, expected: &str, what: &str) {
    let differing = |of: &str, other: &str| {
        let other: std::collections::HashSet<&str> = other.lines().collect();
        of.lines().filter(|line| !other.contains(line)).take(20).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(
        found == expected,
        "{what}: not expected {:#?}, missing {:#?}",
        differing(found, expected),
        differing(expected, found)
    );
}

fn fresh() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("kt_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A repository in memory.
pub(crate) async fn repository() -> Repository {
    let run = RunContext::new();
    let storage = Arc::new(MemoryStorage::new());
    Repository::init(storage, &Protection::None, ChunkerParameters::default(), &run).await.unwrap()
}

pub(crate) async fn back_up(repository: &Repository, source: &MongodbSource) -> Result<BackupInfo> {
    let report = backup(repository, source, &BackupOptions::new(), &RunContext::new()).await?;
    Ok(report.backup.unwrap())
}

pub(crate) async fn bring_back(
    repository: &Repository,
    target: &MongodbSource,
    options: &RestoreOptions,
) -> Result<RestoreReport> {
    let run = RunContext::new();
    let latest = find_backup(repository, "latest", &run).await?;
    restore(repository, &latest, target, options, &run).await
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// A test on the server: ignored with the reason where there is none, unless it is required.
pub(crate) fn on<F: Future<Output = ()> + 'static>(name: &str, test: fn(Server) -> F) -> Trial {
    match Server::named() {
        Ok(_) => Trial::test(name, move || {
            block_on(async { test(Server::open().await).await });
            Ok(())
        }),
        Err(reason) if is_required() => Trial::test(name, move || Err(Failed::from(reason))),
        Err(reason) => Trial::test(format!("{name} ({reason})"), || Ok(())).with_ignored_flag(true),
    }
}

pub(crate) fn is_required() -> bool {
    match std::env::var("KRONOS_TEST_REQUIRE").as_deref() {
        Ok("all") => true,
        Ok(names) => names.split([',', ' ']).any(|name| name == "mongodb"),
        Err(_) => false,
    }
}
