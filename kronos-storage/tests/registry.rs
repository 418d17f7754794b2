//! Storages by their URLs, and what is said of those that aren't there.

use bytes::Bytes;
use kronos_core::{ErrorKind, Key, Registry, Result, Storage, StorageExt};
use kronos_storage::{parse_storage_url, register};
use std::sync::Arc;

fn open(registry: &Registry, url: &str) -> Result<Arc<dyn Storage>> {
    let (scheme, settings) = parse_storage_url(url)?;
    registry.storage(&scheme, &settings)
}

#[tokio::test]
async fn a_name_in_memory_is_one_store_per_registry() {
    let (mut one, mut other) = (Registry::new(), Registry::new());
    register(&mut one);
    register(&mut other);
    let key = Key::new("a").unwrap();
    open(&one, "memory:x").unwrap().put(&key, Bytes::from_static(b"1")).await.unwrap();
    assert!(open(&one, "memory:x").unwrap().get_if_there(&key).await.unwrap().is_some());
    assert!(open(&one, "memory:y").unwrap().get_if_there(&key).await.unwrap().is_none());
    assert!(open(&other, "memory:x").unwrap().get_if_there(&key).await.unwrap().is_none());
}

#[test]
fn unknown_schemes_name_the_known_ones_and_the_nearest() {
    let mut registry = Registry::new();
    register(&mut registry);
    assert_eq!(registry.schemes(), ["file", "memory"]);
    let error = open(&registry, "memroy:x").unwrap_err();
    assert_eq!((error.kind(), error.context("did you mean")), (ErrorKind::Config, Some("memory")));
    assert_eq!(error.context("known"), Some("file memory"));
    let error = open(&registry, "s3://bucket/prefix").unwrap_err();
    assert_eq!((error.kind(), error.context("name")), (ErrorKind::Config, Some("s3")));
}

#[test]
fn options_that_mean_nothing_are_refused() {
    let mut registry = Registry::new();
    register(&mut registry);
    for url in ["file:///srv/b?region=eu", "memory:x?region=eu"] {
        let error = open(&registry, url).unwrap_err();
        assert_eq!((error.kind(), error.context("option")), (ErrorKind::Config, Some("region")));
    }
}
