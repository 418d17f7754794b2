//! What is refused, by whom, and what the user is told of it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kronos_core::{Error, ErrorKind, Retry, Storage, StorageExt, StorageSettings};
use libtest_mimic::Trial;

use super::key;
use super::server::{Place, Small, block_on, on_disk, on_the_server, variable};
use crate::address::Address;
use crate::storage::Sftp;

pub(super) fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let mut trials = vec![
        on_the_server("strangers_are_told_apart", |place| block_on(strangers(place))),
        on_the_server("a_server_without_hard_links_is_refused", |place| block_on(a_limited_server(place))),
        on_the_server("what_is_in_the_way_is_told", |place| block_on(in_the_way(place))),
        trial("a_program_that_is_missing", || block_on(programs("/no/such/ssh", ErrorKind::ToolMissing))),
        trial("a_shell_that_prints", || block_on(programs("echo welcome; exec sleep 9", ErrorKind::Unsupported))),
        trial("a_shell_that_refuses", || block_on(programs("echo no >&2; exit 1", ErrorKind::Unsupported))),
        trial("a_server_that_hangs_up", || block_on(programs("exit 255", ErrorKind::ConnectionFailed))),
        trial("a_server_that_says_nothing", || block_on(programs("exec sleep 99", ErrorKind::Timeout))),
    ];
    trials.push(match (Place::named(), Small::mount()) {
        (Ok(place), Ok(small)) => Trial::test("a_full_disk_is_told", move || {
            block_on(a_full_disk(place, small.path()));
            Ok(())
        }),
        (Err(reason), _) | (_, Err(reason)) => {
            Trial::test(format!("a_full_disk_is_told ({reason})"), || Ok(())).with_ignored_flag(true)
        }
    });
    trials
}

#[track_caller]
fn is(error: &Error, kind: ErrorKind, retry: Retry) {
    assert_eq!((error.kind(), error.retry()), (kind, retry), "{error:?}");
    assert!(retry == Retry::Later || error.context("hint").is_some(), "no hint: {error:?}");
}

async fn every_call_fails(storage: &dyn Storage, kind: ErrorKind, retry: Retry) -> Error {
    let there = key("a/b");
    is(&storage.put(&there, Bytes::new()).await.unwrap_err(), kind, retry);
    is(&storage.put_if_absent(&there, Bytes::new()).await.unwrap_err(), kind, retry);
    is(&storage.begin_upload(&there).await.unwrap_err(), kind, retry);
    is(&storage.get_range(&there, 0..1).await.unwrap_err(), kind, retry);
    is(&storage.head(&there).await.unwrap_err(), kind, retry);
    is(&storage.list(None, None).await.unwrap_err(), kind, retry);
    is(&storage.delete_one(&there).await.unwrap_err(), kind, retry);
    let error = storage.get(&there).await.unwrap_err();
    is(&error, kind, retry);
    error
}

async fn strangers(place: Place) {
    let location = place.new_location();
    let file = |name| variable(name).unwrap();
    let changed = place.clone().with("known_hosts", file("CHANGED_HOSTS")).open(&location);
    let error = every_call_fails(&*changed, ErrorKind::ConnectionFailed, Retry::Never).await;
    assert!(error.context("hint").unwrap().contains("ssh-keygen -R 127.0.0.1"), "{error}");
    assert_eq!(error.context("ssh says"), Some("Host key verification failed."));

    let unknown = place.clone().with("known_hosts", file("NO_HOSTS")).open(&location);
    let error = every_call_fails(&*unknown, ErrorKind::ConnectionFailed, Retry::Never).await;
    assert!(error.context("hint").unwrap().contains("fingerprint"), "{error}");

    let stranger = place.clone().with("identity", file("STRANGER_KEY")).open(&location);
    let error = every_call_fails(&*stranger, ErrorKind::Authentication, Retry::Never).await;
    assert!(error.context("ssh says").unwrap().contains("Permission denied (publickey)"), "{error}");

    let nobody = place.open("127.0.0.1:1/backups");
    let error = every_call_fails(&*nobody, ErrorKind::ConnectionFailed, Retry::Later).await;
    assert!(error.context("ssh says").unwrap().contains("refused"), "{error}");
}

async fn a_limited_server(place: Place) {
    let limited = place.clone().with("identity", variable("LIMITED_KEY").unwrap()).fresh();
    let error = every_call_fails(&*limited, ErrorKind::Unsupported, Retry::Never).await;
    assert_eq!(error.context("extension"), Some("hardlink@openssh.com"));
}

async fn in_the_way(place: Place) {
    let location = place.new_location();
    let (storage, disk) = (place.open(&location), on_disk(&location));
    std::fs::write(&disk, "a file").unwrap();
    let error = storage.put(&key("a/b"), Bytes::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    std::fs::remove_file(&disk).unwrap();
    std::fs::create_dir_all(disk.join("a/b")).unwrap();
    for error in [
        storage.put_if_absent(&key("a/b"), Bytes::new()).await.unwrap_err(),
        storage.put(&key("a/b"), Bytes::new()).await.unwrap_err(),
    ] {
        assert!(matches!(error.kind(), ErrorKind::Config | ErrorKind::Io), "{error}");
    }
    for error in [storage.get(&key("a/b")).await.unwrap_err(), storage.head(&key("a/b")).await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "a directory is no object: {error}");
    }
    storage.delete_one(&key("a/b")).await.expect("a directory is no object");
    // Somebody takes everything away while the storage is in use.
    storage.put(&key("c/d"), Bytes::new()).await.unwrap();
    std::fs::remove_dir_all(&disk).unwrap();
    storage.put(&key("c/d"), Bytes::from_static(b"again")).await.unwrap();
    assert_eq!(storage.get(&key("c/d")).await.unwrap(), "again");
}

/// Something else in the place of `ssh`.
async fn programs(script: &str, kind: ErrorKind) {
    let options = [("timeout".to_owned(), "3".to_owned())].into_iter().collect();
    let settings = StorageSettings { location: "nas/backups".to_owned(), options };
    let words = if kind == ErrorKind::ToolMissing { vec![script] } else { vec!["sh", "-c", script] };
    let command: Vec<String> = words.into_iter().map(str::to_owned).collect();
    let storage = Sftp::at(Address::new(&settings, &command).unwrap());
    let began = Instant::now();
    // Those that wait for the first one's connection do not wait longer than that.
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let storage = Arc::clone(&storage);
            tokio::spawn(async move { storage.head(&key("a")).await.unwrap_err() })
        })
        .collect();
    for call in calls {
        let error = call.await.unwrap();
        let may_be_late = error.kind() == ErrorKind::Timeout && began.elapsed() > Duration::from_secs(2);
        assert!(error.kind() == kind || may_be_late, "{error:?}");
        let retry = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::ConnectionFailed);
        is(&error, error.kind(), if retry { Retry::Later } else { Retry::Never });
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

async fn a_full_disk(place: Place, disk: &Path) {
    let storage = place.open(&place.location_of(disk));
    let (small, large) = (key("a/small"), key("a/large"));
    storage.put(&small, Bytes::from(vec![1; 1000])).await.unwrap();
    let megabytes = Bytes::from(vec![2; 4 << 20]);
    for error in [
        storage.put(&large, megabytes.clone()).await.unwrap_err(),
        storage.put_if_absent(&large, megabytes.clone()).await.unwrap_err(),
        storage.begin_upload(&large).await.unwrap().write(megabytes.clone()).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.retry()), (ErrorKind::StorageFull, Retry::Never), "{error:?}");
        // What was given up is removed in the background.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(storage.get(&small).await.unwrap().len(), 1000);
    assert_eq!(storage.list_all(None).await.unwrap().len(), 1);
    storage.put(&large, Bytes::from(vec![1; 1000])).await.expect("nothing was left behind");
}
