//! Every operation can be spawned: a service that embeds Kronos runs it beside its own work.
#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may panic")]

mod common;

use std::sync::Arc;

use common::repository;
use kronos_core::testing::{MemorySource, MemoryStorage};
use kronos_core::{
    BackupOptions, CheckReport, PruneOptions, PruneReport, ReadData, Repository, RestoreOptions, Result, Retention,
    RunContext, backup, backup_to, catch_up, check, copy, diff, find_backup, list, plan_backup, prune, restore, show,
};

/// A future that a runtime of several threads takes.
fn spawnable<T>(work: impl Future<Output = T> + Send) -> impl Future<Output = T> + Send {
    work
}

async fn backed_up(repository: Repository, source: MemorySource, run: RunContext) {
    spawnable(async {
        plan_backup(Some(&repository), &source, &BackupOptions::new(), &run).await.unwrap();
        backup(&repository, &source, &BackupOptions::new(), &run).await.unwrap();
        backup_to(std::slice::from_ref(&repository), &source, &BackupOptions::new(), &run).await.unwrap();
    })
    .await;
}

async fn brought_back(repository: Repository, target: MemorySource, run: RunContext) {
    spawnable(async {
        let found = find_backup(&repository, "latest", &run).await.unwrap();
        restore(&repository, &found, &target, &RestoreOptions::new(), &run).await.unwrap();
    })
    .await;
}

async fn pruned(repository: Repository, run: RunContext) -> Result<PruneReport> {
    let rules = Retention { last: 1, ..Retention::default() };
    spawnable(async move {
        let job = list(&repository, None, &run).await?.backups[0].job.clone();
        prune(&repository, &job, &PruneOptions::new(Some(rules)), &run).await
    })
    .await
}

async fn checked(repository: Repository, run: RunContext) -> Result<CheckReport> {
    spawnable(async move { check(&repository, ReadData::All, &run).await }).await
}

async fn copied(from: Repository, to: Repository, run: RunContext) {
    spawnable(async move {
        let found = list(&from, None, &run).await.unwrap().backups;
        copy(&from, &to, &found[0].job, &[], &run).await.unwrap();
        for caught_up in catch_up(&[from.clone(), to], &found[0].job, &run).await {
            caught_up.unwrap();
        }
        show(&from, &found[0], &run).await.unwrap();
        diff(&from, &found[0], &found[0], &run).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_can_be_spawned() {
    let (storage, other) = (Arc::new(MemoryStorage::new()), Arc::new(MemoryStorage::new()));
    let (first, second) = (repository(&storage).await, repository(&other).await);
    let (source, run) = (MemorySource::new("shop"), RunContext::new());
    source.set("a", vec![1; 5000]);
    tokio::spawn(backed_up(first.clone(), source.clone(), run.clone())).await.unwrap();
    tokio::spawn(brought_back(first.clone(), MemorySource::new("back"), run.clone())).await.unwrap();
    tokio::spawn(copied(first.clone(), second, run.clone())).await.unwrap();
    tokio::spawn(checked(first.clone(), run.clone())).await.unwrap().unwrap();
    tokio::spawn(pruned(first, run)).await.unwrap().unwrap();
}
