//! What every storage promises, and the example itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use kronos_core::testing::{FaultPlan, FaultStorage, storage_conformance};
use kronos_core::{Atomicity, ConditionalPut, PutOutcome, RunContext, Storage, StorageExt, Timestamp, probe};
use libtest_mimic::Trial;

use super::key;
use super::server::{Place, block_on, on_disk, on_the_server};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        on_the_server("it_runs", |place| {
            block_on(crate::run(&place.registry(), &place.url(&place.new_location()))).unwrap();
        }),
        on_the_server("conformance", |place| {
            block_on(storage_conformance(async || place.fresh()));
        }),
        on_the_server("conformance_beneath_a_wrapper", |place| {
            let wrapped = |storage| Arc::new(FaultStorage::new(storage, 1, FaultPlan::default())) as Arc<dyn Storage>;
            block_on(storage_conformance(async || wrapped(place.fresh())));
        }),
        on_the_server("of_32_racers_one_wins", |place| block_on(racers(place))),
        on_the_server("a_probe_finds_it_atomic", |place| block_on(a_probe(place))),
        on_the_server("more_calls_than_open_files", |place| block_on(many_calls(place))),
        on_the_server("calls_that_are_given_up_leave_nothing", |place| block_on(given_up(place))),
        on_the_server("leftovers_are_removed_by_age", |place| block_on(leftovers(place))),
        on_the_server("the_server_can_open_it_as_a_directory", |place| block_on(as_a_directory(place))),
    ]
}

/// Each racer has a connection of its own, as if on a machine of its own.
async fn racers(place: Place) {
    let location = place.new_location();
    let racers: Vec<_> = (0..32).map(|_| place.open(&location)).collect();
    // Connecting would spread them out. So many at once are not all let in at first.
    for racer in &racers {
        racer.head(&key("a")).await.unwrap_err();
    }
    let place = key("race/0001");
    let outcomes = join_all(racers.iter().enumerate().map(|(n, racer)| {
        let (racer, place) = (Arc::clone(racer), place.clone());
        let bytes = Bytes::from(format!("{n}").repeat(10_000));
        tokio::spawn(async move { (racer.put_if_absent(&place, bytes.clone()).await.unwrap(), bytes) })
    }));
    let outcomes: Vec<_> = outcomes.await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<_> = outcomes.iter().filter(|(outcome, _)| *outcome == PutOutcome::Created).collect();
    let [(_, bytes)] = winners[..] else { panic!("{} were told that they won", winners.len()) };
    assert!(racers[0].get(&place).await.unwrap() == bytes, "not what the winner wrote");
}

async fn a_probe(place: Place) {
    let storage = place.fresh();
    assert_eq!(storage.atomicity(), Atomicity::Unproven);
    let report = probe(&*storage, &RunContext::new()).await.unwrap();
    assert_eq!(report.conditional_put, ConditionalPut::Atomic);
    assert!(report.ranges && report.parts && report.lists_at_once && report.deletes, "{report:?}");
    assert!(storage.list_all(None).await.unwrap().is_empty(), "a probe leaves nothing");
    assert_eq!(storage.notices(), Vec::<String>::new(), "OpenSSH syncs directories");
}

async fn many_calls(place: Place) {
    let storage = place.fresh();
    let keys: Vec<_> = (0..300).map(|n| key(&format!("many/{}/{n}", n % 40))).collect();
    let put = keys.iter().map(|key| storage.put(key, Bytes::from(vec![1; 100_000])));
    join_all(put).await.into_iter().for_each(|put| put.unwrap());
    let read = join_all(keys.iter().map(|key| storage.get_range(key, 50_000..99_999))).await;
    assert!(read.into_iter().all(|read| read.unwrap().len() == 49_999));
    storage.delete(&keys).await.unwrap();
    assert!(storage.list_all(None).await.unwrap().is_empty());
}

/// More often than files can be open: one that stayed open would stop everything in the end.
async fn given_up(place: Place) {
    let location = place.new_location();
    let storage = place.open(&location);
    let (large, bytes) = (key("a/large"), Bytes::from(vec![7; 4 << 20]));
    storage.put(&key("a/b"), bytes.clone()).await.unwrap();
    for n in 0..200 {
        let wait = Duration::from_micros(n * 200);
        // Both ways are fine: it may be fast enough.
        let _ = tokio::time::timeout(wait, storage.put(&large, bytes.clone())).await;
        let _ = tokio::time::timeout(wait, storage.get(&key("a/b"))).await;
        let _ = tokio::time::timeout(wait, storage.list(None, None)).await;
    }
    storage.put(&large, bytes.clone()).await.unwrap();
    assert!(storage.get(&large).await.unwrap() == bytes);
    let staging = on_disk(&location).join("#staging");
    for _ in 0..100 {
        if std::fs::read_dir(&staging).unwrap().next().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("staging files stay: {:?}", std::fs::read_dir(&staging).unwrap().collect::<Vec<_>>());
}

async fn leftovers(place: Place) {
    let location = place.new_location();
    let storage = place.open(&location);
    let mut upload = storage.begin_upload(&key("a/b")).await.unwrap();
    upload.write(Bytes::from(vec![1; 5 << 20])).await.unwrap();
    // As after a kill: nobody gives it up.
    std::mem::forget(upload);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let earlier = Timestamp::from_micros(i64::try_from(now.as_micros()).unwrap() - 60_000_000);
    assert_eq!(storage.remove_leftovers(earlier).await.unwrap(), 0, "it may still be under way");
    let later = Timestamp::from_micros(i64::MAX);
    assert_eq!(storage.remove_leftovers(later).await.unwrap(), 1);
    assert_eq!(storage.remove_leftovers(later).await.unwrap(), 0);
}

async fn as_a_directory(place: Place) {
    let location = place.new_location();
    let (far, near) = (place.open(&location), kronos_storage::local(on_disk(&location)).unwrap());
    far.put(&key("a/b"), Bytes::from_static(b"from afar")).await.unwrap();
    near.put(&key("a/c"), Bytes::from_static(b"from nearby")).await.unwrap();
    assert_eq!(near.get(&key("a/b")).await.unwrap(), "from afar");
    assert_eq!(far.get(&key("a/c")).await.unwrap(), "from nearby");
    let names = |all: Vec<kronos_core::ObjectMeta>| all.into_iter().map(|one| (one.key, one.size)).collect::<Vec<_>>();
    assert_eq!(names(near.list_all(None).await.unwrap()), names(far.list_all(None).await.unwrap()));
    assert!(far.free_space().await.unwrap().unwrap() > 0);
}
