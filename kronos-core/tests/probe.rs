//! A storage that says yes to everything does not become a repository.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may panic")]

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kronos_core::testing::{FaultPlan, FaultStorage, MemorySource, MemoryStorage};
use kronos_core::{
    Atomicity, BackupOptions, ChunkerParameters, ConditionalPut, Credentials, Error, ErrorKind, Key, ObjectMeta,
    Protection, PutOutcome, ReadData, Repository, Result, RunContext, Storage, Timestamp, Upload, backup, check, probe,
};

mod common;

use common::noise;

/// What is wrong with a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    Nothing,
    /// Looks first and writes then.
    Racy,
    IgnoresConditions,
    KnowsNoConditions,
    NoRanges,
    NoParts,
    Locked,
}

/// A storage in memory that is like some that are out there.
#[derive(Debug, Clone)]
struct Liar {
    inner: MemoryStorage,
    lie: Lie,
    atomicity: Atomicity,
    name: &'static str,
}

impl Liar {
    fn new(lie: Lie) -> Self {
        Self { inner: MemoryStorage::new(), lie, atomicity: Atomicity::Unproven, name: "liar" }
    }
}

#[async_trait]
impl Storage for Liar {
    fn describe(&self) -> String {
        self.name.to_owned()
    }
    fn atomicity(&self) -> Atomicity {
        self.atomicity
    }
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }
    async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        self.inner.put(key, bytes).await
    }
    async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<PutOutcome> {
        match self.lie {
            Lie::KnowsNoConditions => Err(Error::new(ErrorKind::Unsupported, "not here")),
            Lie::IgnoresConditions => self.inner.put(key, bytes).await.map(|()| PutOutcome::Created),
            Lie::Racy => {
                let is_there = self.inner.head(key).await.is_ok();
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                if is_there {
                    return Ok(PutOutcome::Exists);
                }
                self.inner.put(key, bytes).await.map(|()| PutOutcome::Created)
            }
            _ => self.inner.put_if_absent(key, bytes).await,
        }
    }
    async fn begin_upload(&self, key: &Key) -> Result<Box<dyn Upload>> {
        if self.lie == Lie::NoParts {
            return Err(Error::new(ErrorKind::Unsupported, "not here"));
        }
        self.inner.begin_upload(key).await
    }
    async fn get(&self, key: &Key) -> Result<Bytes> {
        self.inner.get(key).await
    }
    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        if self.lie == Lie::NoRanges {
            return self.inner.get(key).await;
        }
        self.inner.get_range(key, range).await
    }
    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        self.inner.head(key).await
    }
    async fn list(&self, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>> {
        self.inner.list(prefix, after).await
    }
    async fn delete(&self, keys: &[Key]) -> Result<()> {
        if self.lie == Lie::Locked {
            return Err(Error::new(ErrorKind::PermissionDenied, "it is locked"));
        }
        self.inner.delete(keys).await
    }
    async fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        self.inner.remove_leftovers(before).await
    }
    async fn free_space(&self) -> Result<Option<u64>> {
        self.inner.free_space().await
    }
}

async fn init(storage: &Liar) -> Result<Repository> {
    let run = RunContext::new();
    Repository::init(Arc::new(storage.clone()), &Protection::None, ChunkerParameters::tiny(), &run).await
}

fn source() -> MemorySource {
    let source = MemorySource::new("shop");
    source.set("orders", noise(1, 50_000));
    source
}

#[tokio::test]
async fn what_is_wrong_is_found_out() {
    let run = RunContext::new();
    for (lie, expected) in [
        (Lie::Nothing, ConditionalPut::Atomic),
        (Lie::Racy, ConditionalPut::Racy),
        (Lie::IgnoresConditions, ConditionalPut::Ignored),
        (Lie::KnowsNoConditions, ConditionalPut::Unsupported),
    ] {
        let storage = Liar::new(lie);
        let report = probe(&storage, &run).await.unwrap();
        assert_eq!(report.conditional_put, expected, "{lie:?}");
        assert!(report.ranges && report.parts && report.lists_at_once && report.deletes);
        assert!(storage.inner.keys().is_empty(), "nothing is left: {:?}", storage.inner.keys());
    }
    assert!(!probe(&Liar::new(Lie::NoRanges), &run).await.unwrap().ranges);
    assert!(!probe(&Liar::new(Lie::NoParts), &run).await.unwrap().parts);
    assert!(!probe(&Liar::new(Lie::Locked), &run).await.unwrap().deletes);
}

#[tokio::test]
async fn a_storage_that_lies_is_refused_and_nothing_is_left_on_it() {
    for lie in [Lie::Racy, Lie::IgnoresConditions, Lie::KnowsNoConditions, Lie::NoRanges] {
        let storage = Liar::new(lie);
        let error = init(&storage).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{lie:?}: {error}");
        assert!(error.context("hint").is_some());
        assert!(storage.inner.keys().is_empty(), "{lie:?}");
        // A single writer needs no conditions.
        let alone = Liar { atomicity: Atomicity::SingleWriter, ..storage };
        if !matches!(lie, Lie::NoRanges | Lie::KnowsNoConditions) {
            init(&alone).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_storage_without_parts_gets_its_packs_whole() {
    let storage = Liar::new(Lie::NoParts);
    let repository = init(&storage).await.unwrap();
    backup(&repository, &source(), &BackupOptions::new(), &RunContext::new().with_tiny_parts()).await.unwrap();
    let report = check(&repository, ReadData::All, &RunContext::new()).await.unwrap();
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
}

#[tokio::test]
async fn it_is_found_out_once_and_again_where_the_repository_is_moved_to() {
    let run = RunContext::new();
    let storage = Liar::new(Lie::Nothing);
    init(&storage).await.unwrap();
    let open =
        async |storage: &Liar| Repository::open(Arc::new(storage.clone()), &Credentials::None, &run).await.unwrap();
    // Written down: whoever comes later believes it.
    let later = Liar { lie: Lie::Racy, ..storage.clone() };
    backup(&open(&later).await, &source(), &BackupOptions::new(), &run).await.unwrap();
    // The same objects on another storage, copied there by other means.
    let moved = Liar { name: "elsewhere", ..later };
    let error = backup(&open(&moved).await, &source(), &BackupOptions::new(), &run).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let honest = Liar { lie: Lie::Nothing, ..moved };
    backup(&open(&honest).await, &source(), &BackupOptions::new(), &run).await.unwrap();
    assert_eq!(common::objects(&storage.inner, "probe/").len(), 2, "one note for each storage");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_interrupted_leaves_a_storage_that_can_be_initialised() {
    let run = RunContext::new();
    for at in 1..60 {
        let storage = Liar::new(Lie::Nothing);
        let plan = FaultPlan { crash_at: Some(at), ..FaultPlan::default() };
        let faulty = Arc::new(FaultStorage::new(Arc::new(storage.clone()), at, plan));
        let first = Repository::init(faulty.clone(), &Protection::None, ChunkerParameters::tiny(), &run);
        tokio::select! {
            _ = first => {}
            () = faulty.crashed() => {}
        }
        let repository = match init(&storage).await {
            Ok(repository) => repository,
            // The first came as far as its header.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                Repository::open(Arc::new(storage.clone()), &Credentials::None, &run).await.unwrap()
            }
            Err(e) => panic!("crash at {at}: {e}"),
        };
        backup(&repository, &source(), &BackupOptions::new(), &run).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answers_do_not_condemn_an_honest_storage() {
    let run = RunContext::new();
    let mut found = 0;
    for seed in 0..40 {
        let storage = Liar::new(Lie::Nothing);
        let faulty = FaultStorage::new(
            Arc::new(storage),
            seed,
            FaultPlan { error_after: 0.1, error_before: 0.1, ..FaultPlan::default() },
        );
        match probe(&faulty, &run).await {
            Ok(report) => {
                assert_eq!(report.conditional_put, ConditionalPut::Atomic, "seed {seed}");
                found += 1;
            }
            Err(e) => assert_ne!(e.kind(), ErrorKind::Unsupported, "seed {seed}: {e}"),
        }
    }
    assert!(found > 20, "only {found} of 40 came to an end");
}
