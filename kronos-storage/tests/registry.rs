//! Storages by their URLs, and what is said of those that aren't there.

use bytes::Bytes;
use kronos_core::{ErrorKind, Key, Registry, Result, Storage, StorageExt};
use kronos_storage::{parse_storage_url, register};
use std::sync::Arc;

const S3: bool = cfg!(feature = "s3");

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
    let all =
        [("az", cfg!(feature = "azure")), ("file", true), ("gs", cfg!(feature = "gcs")), ("memory", true), ("s3", S3)];
    let known: Vec<&str> = all.into_iter().filter_map(|(scheme, is_here)| is_here.then_some(scheme)).collect();
    assert_eq!(registry.schemes(), known);
    let error = open(&registry, "memroy:x").unwrap_err();
    assert_eq!((error.kind(), error.context("did you mean")), (ErrorKind::Config, Some("memory")));
    assert_eq!(error.context("known"), Some(known.join(" ").as_str()));
}

#[test]
fn what_was_left_out_of_the_build_is_told_by_its_feature() {
    let mut registry = Registry::new();
    register(&mut registry);
    for (scheme, feature, is_here) in
        [("s3", "s3", S3), ("gs", "gcs", cfg!(feature = "gcs")), ("az", "azure", cfg!(feature = "azure"))]
    {
        if is_here {
            assert!(registry.schemes().contains(&scheme));
        } else {
            let error = open(&registry, &format!("{scheme}://bucket/prefix")).unwrap_err();
            assert_eq!((error.kind(), error.context("cargo feature")), (ErrorKind::Unsupported, Some(feature)));
        }
    }
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
