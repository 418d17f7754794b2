//! What a local directory promises beyond the common suite: modes, no leftovers, no surprises.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use kronos_core::{ErrorKind, Key, PutOutcome, Storage, StorageExt, Timestamp};

fn key(name: &str) -> Key {
    Key::new(name).expect("a good name")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it exists").permissions().mode() & 0o777
}

fn storage(root: &Path) -> Arc<dyn Storage> {
    kronos_storage::local(root).expect("a good path")
}

/// Every path below a directory.
fn tree(root: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(tree(&path));
        }
        found.push(path);
    }
    found
}

#[tokio::test]
async fn only_the_owner_can_read() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("deep/er/backups");
    let storage = storage(&root);
    storage.put(&key("a/put"), Bytes::from_static(b"x")).await.unwrap();
    storage.put_if_absent(&key("b/c/absent"), Bytes::from_static(b"x")).await.unwrap();
    let mut upload = storage.begin_upload(&key("d/upload")).await.unwrap();
    upload.write(Bytes::from_static(b"x")).await.unwrap();
    // While the upload is under way, too.
    for finished in [false, true] {
        for path in tree(&place.path().join("deep")) {
            let wanted = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode(&path), wanted, "{} (finished: {finished})", path.display());
        }
        if !finished {
            let other = storage.begin_upload(&key("d/upload")).await.unwrap();
            std::mem::replace(&mut upload, other).finish().await.unwrap();
        }
    }
}

#[tokio::test]
async fn nothing_is_made_before_the_first_write() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("backups");
    let storage = storage(&root);
    assert!(storage.list_all(None).await.unwrap().is_empty());
    assert_eq!(storage.get(&key("a")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(storage.free_space().await.unwrap().unwrap() > 0);
    storage.delete_one(&key("a/b")).await.unwrap();
    assert_eq!(storage.remove_leftovers(Timestamp::from_micros(i64::MAX)).await.unwrap(), 0);
    assert!(!root.exists());
    storage.put(&key("a"), Bytes::new()).await.unwrap();
    assert!(root.exists());
}

#[tokio::test]
async fn finished_writes_leave_nothing_in_staging() {
    let place = tempfile::tempdir().unwrap();
    let storage = storage(place.path());
    storage.put(&key("a"), Bytes::new()).await.unwrap();
    storage.put(&key("a"), Bytes::new()).await.unwrap();
    assert_eq!(storage.put_if_absent(&key("a"), Bytes::new()).await.unwrap(), PutOutcome::Exists);
    storage.put_if_absent(&key("b"), Bytes::new()).await.unwrap();
    storage.begin_upload(&key("c")).await.unwrap().finish().await.unwrap();
    storage.begin_upload(&key("d")).await.unwrap().abort().await.unwrap();
    drop(storage.begin_upload(&key("e")).await.unwrap());
    assert_eq!(fs::read_dir(place.path().join("#staging")).unwrap().count(), 0);
}

#[tokio::test]
async fn leftovers_are_not_listed_and_go_by_their_age() {
    let place = tempfile::tempdir().unwrap();
    let storage = storage(place.path());
    storage.put(&key("a/b"), Bytes::new()).await.unwrap();
    let (old, new) = (place.path().join("#staging/1-1"), place.path().join("#staging/1-2"));
    fs::write(&old, "half").unwrap();
    fs::write(&new, "half").unwrap();
    fs::write(place.path().join("a/b#1"), "of a stranger").unwrap();
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
    fs::File::options().write(true).open(&old).unwrap().set_modified(hour_ago).unwrap();
    let names: Vec<_> = storage.list_all(None).await.unwrap().into_iter().map(|m| m.key).collect();
    assert_eq!(names, [key("a/b")]);
    let micros = hour_ago.duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    let cut = Timestamp::from_micros(i64::try_from(micros).unwrap() + 60_000_000);
    assert_eq!(storage.remove_leftovers(cut).await.unwrap(), 1);
    assert!(!old.exists() && new.exists() && place.path().join("a/b#1").exists());
}

#[tokio::test]
async fn a_file_in_the_way_is_a_mistake_of_the_configuration() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "x").unwrap();
    assert_eq!(kronos_storage::local(&file).unwrap_err().kind(), ErrorKind::Config);
    let later = place.path().join("later");
    let storage = storage(&later);
    fs::write(&later, "x").unwrap();
    for error in [
        storage.put(&key("a"), Bytes::new()).await.unwrap_err(),
        storage.put_if_absent(&key("a"), Bytes::new()).await.unwrap_err(),
        storage.begin_upload(&key("a")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    assert_eq!(storage.get(&key("a")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_directory_in_the_way_is_never_replaced() {
    let place = tempfile::tempdir().unwrap();
    let storage = storage(place.path());
    storage.put(&key("a/b"), Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(storage.put(&key("a"), Bytes::new()).await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(storage.put_if_absent(&key("a"), Bytes::new()).await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(storage.put(&key("a/b/c"), Bytes::new()).await.unwrap_err().kind(), ErrorKind::Config);
    for error in [storage.get(&key("a")).await.unwrap_err(), storage.get_range(&key("a"), 0..1).await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    assert_eq!(storage.get(&key("a/b")).await.unwrap(), b"x"[..]);
}

#[tokio::test]
async fn a_root_that_was_removed_is_made_again() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("backups");
    let storage = storage(&root);
    storage.put(&key("a/b"), Bytes::new()).await.unwrap();
    fs::remove_dir_all(&root).unwrap();
    storage.put_if_absent(&key("a/b"), Bytes::new()).await.unwrap();
    fs::remove_dir_all(root.join("a")).unwrap();
    storage.put(&key("a/b"), Bytes::new()).await.unwrap();
    assert_eq!(storage.list_all(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_write_that_is_given_up_breaks_its_upload() {
    let place = tempfile::tempdir().unwrap();
    let storage = storage(place.path());
    let mut upload = storage.begin_upload(&key("a")).await.unwrap();
    // Polled once, then dropped: the write goes on in its thread, or not.
    let given_up = tokio::time::timeout(std::time::Duration::ZERO, upload.write(vec![1; 32 << 20].into())).await;
    if given_up.is_err() {
        assert!(upload.write(Bytes::from_static(b"x")).await.is_err());
        assert!(upload.finish().await.is_err());
        assert!(storage.list_all(None).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn large_directories_are_listed_page_by_page() {
    let place = tempfile::tempdir().unwrap();
    let storage = storage(place.path());
    storage.put(&key("z/last"), Bytes::new()).await.unwrap();
    fs::create_dir(place.path().join("many")).unwrap();
    for n in 0..12_000 {
        fs::write(place.path().join(format!("many/{n:05}")), "").unwrap();
    }
    let all = storage.list_all(None).await.unwrap();
    assert_eq!(all.len(), 12_001);
    assert!(all.is_sorted_by(|a, b| a.key < b.key));
    assert!(storage.list(None, None).await.unwrap().len() < 12_000, "not all at once");
}
