//! What a restore reads, however old the backups are that it leans on.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may panic, and knows its numbers")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kronos_core::testing::{FaultPlan, FaultStorage, MemorySource, MemoryStorage, Prng};
use kronos_core::{
    ChunkerParameters, Credentials, Event, Limits, Observer, Protection, Repository, RestoreOptions, RunContext,
    plan_restore, restore,
};

mod common;

use common::{back_up, noise, still};

const PAGE: usize = 4096;
const BLOCK: u32 = 64 << 10;

/// Bytes of blocks that were opened.
#[derive(Debug, Default)]
struct Opened(AtomicU64);

impl Observer for Opened {
    fn on_event(&self, event: &Event) {
        if let Event::Progress { stored, .. } = event {
            self.0.fetch_add(*stored, Ordering::Relaxed);
        }
    }
}

/// Each backup changes pages all over the stream, so its bytes come from dozens of backups in turn.
#[tokio::test(flavor = "multi_thread")]
async fn every_block_is_read_once_however_many_backups_a_stream_comes_from() {
    let memory = Arc::new(MemoryStorage::new());
    let mut chunker = ChunkerParameters::tiny();
    (chunker.block, chunker.pack) = (BLOCK, 1 << 20);
    let repository = Repository::init(memory.clone(), &Protection::None, chunker, &RunContext::new()).await.unwrap();
    let source = MemorySource::new("shop").with_pages(PAGE as u32);
    let mut bytes = noise(1, 16 << 20);
    source.set("orders", bytes.clone());
    let first = back_up(&repository, &source).await;
    let (before, mut latest) = (still(&source), first.clone());
    let mut prng = Prng::new(7);
    for _ in 0..100 {
        for _ in 0..16 {
            let at = prng.below((bytes.len() / PAGE) as u64) as usize * PAGE;
            bytes[at] = bytes[at].wrapping_add(1);
        }
        source.set("orders", bytes.clone());
        latest = back_up(&repository, &source).await;
    }

    // The blocks that the stream has begun, one of each stratum, just fit into a quarter of it.
    let mut limits = Limits::default();
    limits.memory = 4 * 64 * u64::from(BLOCK);
    let opened = Arc::new(Opened::default());
    let run = RunContext::new().with_limits(limits).with_observer(opened.clone());
    let storage = Arc::new(FaultStorage::new(memory, 1, FaultPlan::default()));
    let repository = Repository::open(storage.clone(), &Credentials::None, &run).await.unwrap();
    let target = MemorySource::new("target");
    let options = RestoreOptions::new().with_replace();
    for (backup, contents, share) in [(&first, &before, 4), (&latest, &source, 1)] {
        let plan = plan_restore(&repository, backup, &target, &options, &run).await.unwrap();
        let (operations, bytes) = (storage.operations(), opened.0.load(Ordering::Relaxed));
        restore(&repository, backup, &target, &options, &run).await.unwrap();
        assert_eq!(target.contents(), contents.contents());

        let bytes = opened.0.load(Ordering::Relaxed) - bytes;
        let stored = plan.objects_bytes;
        // The index, a small part of it, is read twice.
        assert!(bytes < stored / 20 * 21, "{bytes} bytes of blocks were opened, of {stored} stored");
        let operations = storage.operations() - operations;
        let blocks = stored / u64::from(BLOCK);
        // The log has about 100 entries. Each object is looked for and opened, and has its table read.
        let most = 110 + 4 * plan.objects + blocks / share;
        assert!(operations < most, "{operations} requests for about {blocks} blocks in {} objects", plan.objects);
    }
}
