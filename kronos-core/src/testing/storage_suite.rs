//! The suite that every storage passes, ours or a third party's.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a suite of assertions: a panic is its answer")]

use std::sync::Arc;

use bytes::Bytes;

use super::{FaultPlan, FaultStorage, PatientStorage};
use crate::error::{ErrorKind, Result, Retry};
use crate::storage::{Key, PutOutcome, Storage, StorageExt};
use crate::time::Timestamp;

/// The size of every part of an upload but the last: the least that all stores take.
const PART: usize = 5 << 20;

/// Checks that a storage keeps every promise of the trait; panics where it doesn't.
///
/// `make` gives a new, empty storage each time. A call that fails with
/// [`Retry::Later`](crate::Retry::Later) is made again, as Kronos does. Call it on a multi-threaded runtime, so that
/// the races are real.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use kronos_core::testing::{MemoryStorage, storage_conformance};
///
/// storage_conformance(async || Arc::new(MemoryStorage::new()) as Arc<_>).await;
/// # });
/// ```
pub async fn storage_conformance(make: impl AsyncFn() -> Arc<dyn Storage>) {
    let make = async || Arc::new(PatientStorage::new(make().await)) as Arc<dyn Storage>;
    an_empty_storage_answers(&*make().await).await;
    what_was_put_is_there(&*make().await).await;
    ranges_are_exact(&*make().await).await;
    deleting_is_final(&*make().await).await;
    of_several_writers_one_wins(make().await).await;
    overwriting_is_one_step(make().await).await;
    uploads_appear_at_their_end(&*make().await).await;
    uploads_given_up_leave_nothing(&*make().await).await;
    uploads_outlive_lost_requests(make().await).await;
    every_name_is_kept(&*make().await).await;
    listings_are_ordered_and_take_whole_parts(&*make().await).await;
    listings_go_on_after_a_page(make().await).await;
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

/// Bytes that differ from place to place and from seed to seed.
fn content(length: usize, seed: u8) -> Bytes {
    (0..length).map(|i| u8::try_from(i.wrapping_mul(31) >> 3 & 0xff).unwrap() ^ seed).collect::<Vec<_>>().into()
}

async fn names(storage: &dyn Storage, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(key);
    let all = storage.list_all(prefix.as_ref()).await.unwrap();
    all.iter().map(|m| m.key.to_string()).collect()
}

#[track_caller]
fn assert_kind<T>(answer: Result<T>, kind: ErrorKind, what: &str) {
    match answer {
        Ok(_) => panic!("{what}: succeeded, should be {}", kind.name()),
        Err(e) => assert_eq!(e.kind(), kind, "{what}: {e}"),
    }
}

async fn an_empty_storage_answers(storage: &dyn Storage) {
    assert!(!storage.describe().is_empty(), "a storage has a name");
    let missing = key("a/missing");
    assert_kind(storage.get(&missing).await, ErrorKind::NotFound, "get of nothing");
    assert_kind(storage.get_range(&missing, 0..1).await, ErrorKind::NotFound, "get_range of nothing");
    assert_kind(storage.get_range(&missing, 0..0).await, ErrorKind::NotFound, "an empty get_range of nothing");
    assert_kind(storage.head(&missing).await, ErrorKind::NotFound, "head of nothing");
    assert_eq!(storage.get_if_there(&missing).await.unwrap(), None);
    storage.delete_one(&missing).await.expect("delete of nothing is fine");
    assert!(names(storage, None).await.is_empty(), "an empty storage lists nothing");
    assert!(names(storage, Some("a")).await.is_empty(), "a missing prefix lists nothing");
    assert_eq!(storage.remove_leftovers(Timestamp::from_micros(0)).await.unwrap(), 0);
    storage.free_space().await.expect("free space of an empty storage");
}

async fn what_was_put_is_there(storage: &dyn Storage) {
    for (name, length) in [("empty", 0), ("deep/er/small", 3), ("large", 10 << 20)] {
        let (key, bytes) = (key(name), content(length, 1));
        storage.put(&key, bytes.clone()).await.unwrap();
        assert!(storage.get(&key).await.unwrap() == bytes, "{name}: the content is another");
        let meta = storage.head(&key).await.unwrap();
        assert_eq!((meta.key, meta.size), (key.clone(), length as u64), "{name}: head");
        storage.put(&key, content(5, 2)).await.unwrap();
        assert_eq!(storage.get(&key).await.unwrap(), content(5, 2), "{name}: the newer content replaces the older");
        assert_eq!(storage.put_if_absent(&key, content(9, 3)).await.unwrap(), PutOutcome::Exists);
        assert_eq!(storage.get(&key).await.unwrap(), content(5, 2), "{name}: put_if_absent changed what was there");
    }
    let (fresh, bytes) = (key("fresh/large"), content(10 << 20, 4));
    assert_eq!(storage.put_if_absent(&fresh, bytes.clone()).await.unwrap(), PutOutcome::Created);
    assert!(storage.get(&fresh).await.unwrap() == bytes, "put_if_absent stored something else");
    let nothing = key("fresh/empty");
    assert_eq!(storage.put_if_absent(&nothing, Bytes::new()).await.unwrap(), PutOutcome::Created);
    assert_eq!(storage.put_if_absent(&nothing, content(1, 1)).await.unwrap(), PutOutcome::Exists);
}

async fn ranges_are_exact(storage: &dyn Storage) {
    let (whole, bytes) = (key("a/object"), content(1000, 1));
    storage.put(&whole, bytes.clone()).await.unwrap();
    for range in [0..1000, 0..1, 999..1000, 500..700, 0..0, 1000..1000] {
        let want = bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap());
        assert_eq!(storage.get_range(&whole, range.clone()).await.unwrap(), want, "{range:?}");
    }
    for range in [0..1001, 999..1001, 1000..1001, 2000..3000, 1001..1001] {
        assert_kind(storage.get_range(&whole, range.clone()).await, ErrorKind::Corrupt, &format!("{range:?} of 1000"));
    }
    let empty = key("a/empty");
    storage.put(&empty, Bytes::new()).await.unwrap();
    assert!(storage.get_range(&empty, 0..0).await.unwrap().is_empty());
    assert_kind(storage.get_range(&empty, 0..1).await, ErrorKind::Corrupt, "0..1 of nothing");
}

async fn deleting_is_final(storage: &dyn Storage) {
    let (gone, kept) = (key("a/gone"), key("a/kept"));
    storage.put(&gone, content(10, 1)).await.unwrap();
    storage.put(&kept, content(10, 2)).await.unwrap();
    storage.delete_one(&gone).await.unwrap();
    storage.delete_one(&gone).await.expect("deleting again is fine");
    assert_kind(storage.get(&gone).await, ErrorKind::NotFound, "get of what was deleted");
    assert_kind(storage.head(&gone).await, ErrorKind::NotFound, "head of what was deleted");
    assert_eq!(names(storage, None).await, ["a/kept"]);
    assert_eq!(storage.put_if_absent(&gone, content(3, 3)).await.unwrap(), PutOutcome::Created);
    storage.delete_one(&gone).await.unwrap();
    storage.delete_one(&kept).await.unwrap();
    storage.put(&kept, content(3, 3)).await.expect("a prefix that was emptied can be used again");
}

async fn of_several_writers_one_wins(storage: Arc<dyn Storage>) {
    const WRITERS: u8 = 32;
    for round in 0..8 {
        let place = key(&format!("race/round-{round}/log/0001"));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (storage, place) = (storage.clone(), place.clone());
                // Different lengths, so that a mixture of two shows as well.
                tokio::spawn(async move {
                    storage.put_if_absent(&place, content(1000 + usize::from(writer), writer)).await.unwrap()
                })
            })
            .collect();
        let mut winners = Vec::new();
        for (writer, handle) in (0..WRITERS).zip(writers) {
            if handle.await.unwrap() == PutOutcome::Created {
                winners.push(writer);
            }
        }
        let [winner] = winners[..] else { panic!("round {round}: these were told that they won: {winners:?}") };
        let bytes = storage.get(&place).await.unwrap();
        assert!(bytes == content(1000 + usize::from(winner), winner), "round {round}: not what the winner wrote");
    }
    assert_eq!(names(&*storage, Some("race")).await.len(), 8, "a race leaves nothing else behind");
}

async fn overwriting_is_one_step(storage: Arc<dyn Storage>) {
    let place = key("swap/object");
    storage.put(&place, content(200_000, 0)).await.unwrap();
    let writer = {
        let (storage, place) = (storage.clone(), place.clone());
        tokio::spawn(async move {
            for n in 1..30_u8 {
                storage.put(&place, content(200_000 + usize::from(n), n)).await.unwrap();
            }
        })
    };
    while !writer.is_finished() {
        let found = storage.get(&place).await.expect("an object that is replaced is there all the time");
        let seed = u8::try_from(found.len() - 200_000).unwrap();
        assert!(found == content(found.len(), seed), "half of one and half of another object was seen");
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

async fn uploads_appear_at_their_end(storage: &dyn Storage) {
    let (place, whole) = (key("up/several"), content(2 * PART + 77, 1));
    let mut upload = storage.begin_upload(&place).await.unwrap();
    for part in [0..PART, PART..2 * PART, 2 * PART..whole.len()] {
        upload.write(whole.slice(part)).await.unwrap();
        assert_kind(storage.head(&place).await, ErrorKind::NotFound, "an unfinished upload");
        assert!(names(storage, None).await.is_empty(), "an unfinished upload is not listed");
    }
    upload.finish().await.unwrap();
    assert!(storage.get(&place).await.unwrap() == whole, "the upload stored something else");
    assert_eq!(storage.get_range(&place, PART as u64 - 1..PART as u64 + 1).await.unwrap(), whole[PART - 1..=PART]);

    let empty = key("up/empty");
    storage.begin_upload(&empty).await.unwrap().finish().await.unwrap();
    assert_eq!(storage.head(&empty).await.unwrap().size, 0, "an upload without parts is an empty object");

    let mut upload = storage.begin_upload(&place).await.unwrap();
    upload.write(content(10, 2)).await.unwrap();
    assert!(storage.get(&place).await.unwrap() == whole, "the old object stays until the end");
    upload.finish().await.unwrap();
    assert_eq!(storage.get(&place).await.unwrap(), content(10, 2), "the upload replaces it");
    assert_eq!(names(storage, None).await, ["up/empty", "up/several"]);
}

async fn uploads_given_up_leave_nothing(storage: &dyn Storage) {
    let place = key("up/given-up");
    for drop_it in [false, true] {
        let mut upload = storage.begin_upload(&place).await.unwrap();
        upload.write(content(PART, 1)).await.unwrap();
        upload.write(content(5, 2)).await.unwrap();
        if drop_it {
            drop(upload);
        } else {
            upload.abort().await.unwrap();
        }
        assert_kind(storage.get(&place).await, ErrorKind::NotFound, "an upload that was given up");
        assert!(names(storage, None).await.is_empty(), "an upload that was given up is not listed");
    }
    // Two uploads to one name know nothing of each other.
    let mut first = storage.begin_upload(&place).await.unwrap();
    let mut second = storage.begin_upload(&place).await.unwrap();
    first.write(content(10, 1)).await.unwrap();
    second.write(content(20, 2)).await.unwrap();
    first.finish().await.unwrap();
    assert_eq!(storage.get(&place).await.unwrap(), content(10, 1));
    second.abort().await.unwrap();
    assert_eq!(storage.get(&place).await.unwrap(), content(10, 1), "an abort leaves the other's object alone");
}

/// Every step of an upload fails now and then, before or after it was done, and is made again.
async fn uploads_outlive_lost_requests(storage: Arc<dyn Storage>) {
    let plan = FaultPlan { error_before: 0.3, error_after: 0.1, ..FaultPlan::default() };
    let faulty = FaultStorage::new(Arc::clone(&storage), 3, plan);
    let place = key("a/large");
    let parts = [content(PART, 1), content(PART, 2), content(PART, 3), content(1000, 4)];
    let mut upload = loop {
        if let Ok(upload) = faulty.begin_upload(&place).await {
            break upload;
        }
    };
    for part in &parts {
        while let Err(e) = upload.write(part.clone()).await {
            assert_eq!(e.retry(), Retry::Later, "{e}");
        }
    }
    while let Err(e) = upload.finish().await {
        // It was finished, and the answer was lost.
        if e.kind() == ErrorKind::NotFound {
            break;
        }
        assert_eq!(e.retry(), Retry::Later, "{e}");
    }
    assert!(storage.get(&place).await.unwrap() == parts.concat(), "each part once, in order");
}

async fn every_name_is_kept(storage: &dyn Storage) {
    let long = "x".repeat(Key::MAX_PART);
    let mut wanted = [
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ/abcdefghijklmnopqrstuvwxyz/0123456789",
        "jobs/a%20b/log/0001",
        "jobs/a%2Fb/log/0001",
        "jobs/a%252Fb/log/0001",
        "jobs/%/=/-/_",
        "jobs/100%/x",
        "jobs/.hidden/.x",
        "jobs/..a/a../...",
        "jobs/a=b/_-.%",
        &format!("jobs/{long}/{long}"),
    ];
    wanted.sort_unstable();
    for name in wanted {
        storage.put(&key(name), Bytes::copy_from_slice(name.as_bytes())).await.unwrap();
    }
    assert_eq!(names(storage, None).await, wanted);
    for name in wanted {
        assert_eq!(storage.get(&key(name)).await.unwrap(), name.as_bytes(), "{name}");
    }
    assert_eq!(names(storage, Some("jobs/a%2Fb")).await, ["jobs/a%2Fb/log/0001"]);
}

async fn listings_are_ordered_and_take_whole_parts(storage: &dyn Storage) {
    // `%`, `-` and `.` sort before `/`, digits and letters after it.
    let mut wanted =
        ["jobs/a/x", "jobs/a/y/z", "jobs/a-b/x", "jobs/a.b/x", "jobs/a%/x", "jobs/a0/x", "jobs/ab/x", "top"];
    for name in wanted {
        storage.put(&key(name), content(name.len(), 1)).await.unwrap();
    }
    wanted.sort_unstable();
    assert_eq!(names(storage, None).await, wanted, "everything, each once");
    let mut order: Vec<Key> = Vec::new();
    loop {
        let page = storage.list(None, order.last()).await.unwrap();
        if page.is_empty() {
            break;
        }
        order.extend(page.into_iter().map(|m| m.key));
    }
    let whole = order.is_sorted();
    assert!(whole || order.is_sorted_by(|a, b| a.cmp_parts(b).is_lt()), "in neither of the two orders: {order:?}");
    for (place, after) in order.iter().enumerate() {
        let mut expected: Vec<&Key> = order[place + 1..].iter().collect();
        expected.sort_unstable();
        let found = storage.list_from(None, Some(after)).await.unwrap();
        assert_eq!(found.iter().map(|m| &m.key).collect::<Vec<_>>(), expected, "after {after}");
    }
    assert_eq!(names(storage, Some("jobs/a")).await, ["jobs/a/x", "jobs/a/y/z"], "whole parts only");
    assert_eq!(names(storage, Some("jobs/a/y")).await, ["jobs/a/y/z"]);
    assert!(names(storage, Some("jobs/a/x")).await.is_empty(), "an object is not below itself");
    assert!(names(storage, Some("job")).await.is_empty());
    let page = storage.list(Some(&key("jobs/a")), Some(&key("jobs/a/w"))).await.unwrap();
    assert_eq!(page[0].key.as_str(), "jobs/a/x", "`after` need not exist");
    assert_eq!(page[0].size, "jobs/a/x".len() as u64);
    assert!(storage.list(Some(&key("jobs/a")), Some(&key("top"))).await.unwrap().is_empty());
}

async fn listings_go_on_after_a_page(storage: Arc<dyn Storage>) {
    const OBJECTS: usize = 2_500;
    let mut wanted: Vec<String> = (0..OBJECTS).map(|n| format!("many/{:02}/{n:05}", n % 7)).collect();
    for batch in wanted.chunks(50) {
        let puts = batch.iter().map(|name| {
            let (storage, place) = (storage.clone(), key(name));
            async move { storage.put(&place, Bytes::new()).await }
        });
        for put in futures::future::join_all(puts).await {
            put.unwrap();
        }
    }
    wanted.sort_unstable();
    let found = names(&*storage, Some("many")).await;
    assert_eq!(found.len(), OBJECTS, "each object once");
    assert!(found == wanted, "in order");
    wanted.retain(|name| name.contains("/03/"));
    assert_eq!(names(&*storage, Some("many/03")).await, wanted);
}
