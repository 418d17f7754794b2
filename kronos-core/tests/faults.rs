//! The fault-injecting storage does what its plan says, the same way for the same seed.

use std::sync::Arc;

use bytes::Bytes;
use kronos_core::testing::{FaultPlan, FaultStorage, MemoryStorage};
use kronos_core::{ErrorKind, Key, PutOutcome, Retry, Storage, StorageExt};

fn key(name: &str) -> Key {
    Key::new(name).expect("a good name")
}

fn wrap(plan: FaultPlan) -> (MemoryStorage, FaultStorage) {
    let memory = MemoryStorage::new();
    let faulty = FaultStorage::new(Arc::new(memory.clone()), 1, plan);
    (memory, faulty)
}

/// Forty concurrent writers and readers; gives back everything that can be observed.
async fn history(seed: u64) -> (Vec<String>, Vec<Key>) {
    let memory = MemoryStorage::new();
    let faulty = FaultStorage::new(Arc::new(memory.clone()), seed, FaultPlan::hostile(0.1));
    let work = (0..40).map(|n: u32| {
        let faulty = faulty.clone();
        async move {
            let mine = key(&format!("a/{}", n % 7));
            let _ = faulty.put_if_absent(&mine, Bytes::from(n.to_string())).await;
            let _ = faulty.get(&mine).await;
            let _ = faulty.list_all(None).await;
            let _ = faulty.delete_one(&key(&format!("a/{}", n % 5))).await;
        }
    });
    futures::future::join_all(work).await;
    faulty.settle().await;
    (faulty.log(), memory.keys())
}

#[tokio::test(start_paused = true)]
async fn one_seed_is_one_history() {
    let first = history(5).await;
    assert_eq!(first, history(5).await);
    assert_ne!(first, history(6).await);
}

#[tokio::test(start_paused = true)]
async fn an_error_before_has_no_effect_and_one_after_has_it() {
    let (memory, faulty) = wrap(FaultPlan { error_before: 1.0, ..FaultPlan::default() });
    let error = faulty.put(&key("a"), Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later);
    assert!(matches!(error.kind(), ErrorKind::ConnectionFailed | ErrorKind::Timeout));
    assert!(memory.keys().is_empty());
    faulty.set_plan(FaultPlan { error_after: 1.0, ..FaultPlan::default() });
    faulty.put_if_absent(&key("a"), Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(memory.keys(), [key("a")]);
    assert_eq!(faulty.injected().into_iter().collect::<Vec<_>>(), [("error after", 1), ("error before", 1)]);
    assert!(faulty.log()[1].contains("put_if_absent a -> "), "{:?}", faulty.log());
}

#[tokio::test(start_paused = true)]
async fn a_late_effect_is_still_conditional() {
    let (memory, faulty) = wrap(FaultPlan { late_effect: 1.0, ..FaultPlan::default() });
    faulty.put_if_absent(&key("a"), Bytes::from_static(b"late")).await.unwrap_err();
    faulty.put(&key("b"), Bytes::from_static(b"late")).await.unwrap_err();
    assert!(memory.keys().is_empty() && faulty.late_effects() == 2);
    faulty.heal();
    assert_eq!(memory.put_if_absent(&key("a"), Bytes::from_static(b"other")).await.unwrap(), PutOutcome::Created);
    faulty.settle().await;
    assert_eq!(memory.read(&key("a")).unwrap(), b"other"[..]);
    assert_eq!(memory.read(&key("b")).unwrap(), b"late"[..]);
}

#[tokio::test(start_paused = true)]
async fn late_effects_come_by_themselves() {
    let (memory, faulty) = wrap(FaultPlan { late_effect: 1.0, ..FaultPlan::default() });
    faulty.put(&key("a"), Bytes::from_static(b"late")).await.unwrap_err();
    faulty.heal();
    for _ in 0..25 {
        faulty.free_space().await.unwrap();
    }
    assert_eq!(memory.keys(), [key("a")]);
}

#[tokio::test(start_paused = true)]
async fn a_torn_write_hits_new_names_only() {
    let (memory, faulty) = wrap(FaultPlan { torn_write: 1.0, ..FaultPlan::default() });
    memory.overwrite(&key("old"), &b"whole"[..]);
    faulty.put(&key("old"), Bytes::from(vec![1; 100])).await.unwrap_err();
    faulty.put(&key("new"), Bytes::from(vec![1; 100])).await.unwrap_err();
    assert_eq!(memory.read(&key("old")).unwrap(), b"whole"[..]);
    assert!(memory.read(&key("new")).unwrap().len() < 100);
    faulty.put_if_absent(&key("commit"), Bytes::from(vec![1; 100])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_crash_ends_everything() {
    let mut effects = [false; 2];
    for seed in 0..20 {
        let memory = MemoryStorage::new();
        let plan = FaultPlan { crash_at: Some(3), latency: 10, ..FaultPlan::default() };
        let faulty = FaultStorage::new(Arc::new(memory.clone()), seed, plan);
        let work = async {
            for n in 0..10 {
                faulty.put(&key(&format!("a/{n}")), Bytes::new()).await.unwrap();
            }
        };
        tokio::select! {
            () = work => panic!("it cannot come to its end"),
            () = faulty.crashed() => {}
        }
        let written = memory.keys().len();
        assert!(written == 2 || written == 3, "{written}");
        effects[written - 2] = true;
        let after = tokio::time::timeout(std::time::Duration::from_secs(5), faulty.get(&key("a/0"))).await;
        assert!(after.is_err(), "a dead client gets no answers");
    }
    assert_eq!(effects, [true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_can_tear_an_upload() {
    let plan = FaultPlan { crash_at: Some(3), torn_write: 1.0, ..FaultPlan::default() };
    let (memory, faulty) = wrap(plan);
    let work = async {
        let mut upload = faulty.begin_upload(&key("pack")).await.unwrap();
        upload.write(Bytes::from(vec![1; 50])).await.unwrap();
        upload.write(Bytes::from(vec![2; 50])).await.unwrap();
    };
    tokio::select! {
        () = work => panic!("it cannot come to its end"),
        () = faulty.crashed() => {}
    }
    assert!(memory.read(&key("pack")).unwrap().len() < 100);
}

#[tokio::test(start_paused = true)]
async fn listings_go_wrong_on_demand() {
    let (memory, faulty) = wrap(FaultPlan { stale_list: 1.0, ..FaultPlan::default() });
    assert!(faulty.list_all(None).await.unwrap().is_empty());
    for n in 0..40 {
        memory.overwrite(&key(&format!("a/{n:02}")), Bytes::new());
    }
    let page = faulty.list(None, None).await.unwrap();
    assert!(page.is_empty(), "the state before the forty");
    faulty.set_plan(FaultPlan { incomplete_list: 1.0, ..FaultPlan::default() });
    assert!(faulty.list(None, None).await.unwrap().len() < 40);
    faulty.set_plan(FaultPlan { reordered_list: 1.0, ..FaultPlan::default() });
    let page = faulty.list(None, None).await.unwrap();
    assert!(page.len() == 40 && !page.is_sorted_by(|a, b| a.key < b.key));
    faulty.heal();
    assert_eq!(faulty.list_all(None).await.unwrap().len(), 40);
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_object_is_there_and_cannot_be_read() {
    let (memory, faulty) = wrap(FaultPlan::default());
    memory.overwrite(&key("a"), &b"abc"[..]);
    faulty.make_unreadable(&key("a"));
    for error in [faulty.get(&key("a")).await.unwrap_err(), faulty.get_range(&key("a"), 0..1).await.unwrap_err()] {
        assert_eq!((error.retry(), error.context("object")), (Retry::Later, Some("a")));
    }
    assert_eq!(faulty.list_all(None).await.unwrap().len(), 1);
    faulty.heal();
    assert_eq!(faulty.get(&key("a")).await.unwrap(), b"abc"[..]);
}
