//! The storages of the test kit pass the suite that every storage passes.

use std::sync::Arc;

use kronos_core::testing::{FaultPlan, FaultStorage, MemoryStorage, storage_conformance};

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    storage_conformance(async || Arc::new(MemoryStorage::new()) as Arc<_>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_in_tiny_pages() {
    storage_conformance(async || Arc::new(MemoryStorage::new().with_page(3)) as Arc<_>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_without_faults() {
    let make = async || {
        let inner = Arc::new(MemoryStorage::new());
        Arc::new(FaultStorage::new(inner, 1, FaultPlan::default())) as Arc<_>
    };
    storage_conformance(make).await;
}
