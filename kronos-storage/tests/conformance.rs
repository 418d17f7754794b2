//! Every storage of this crate passes the suite that every storage passes.

use kronos_core::testing::storage_conformance;

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    storage_conformance(async || kronos_storage::memory("test")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local() {
    let place = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicU32::new(0);
    let fresh = async || {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        kronos_storage::local(place.path().join(n.to_string())).unwrap()
    };
    storage_conformance(fresh).await;
}
