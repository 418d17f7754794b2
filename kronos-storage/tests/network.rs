//! What goes wrong between Kronos and a store: requests that get lost, answers that do, connections that
//! are cut, reset or stand still, stores that have too much to do. No wrong commit, no endless wait, no loss.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::proxy::{Fate, KINDS, Kind, Proxy};
use common::{SERVERS, Server, block_on, on};
use kronos_core::testing::{MemorySource, Prng};
use kronos_core::{
    BackupOptions, ChunkerParameters, Credentials, Error, ErrorKind, Event, Key, Limits, Observer, Protection,
    PruneOptions, PutOutcome, ReadData, Repository, RestoreOptions, Retention, Retry, RunContext, backup, check,
    forget, list, prune, restore,
};
use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut trials: Vec<Trial> = Vec::new();
    for server in SERVERS {
        trials.push(on(server, "each_kind_of_trouble_with_each_kind_of_request", |server| {
            block_on(every_trouble(server));
        }));
        trials.push(on(server, "a_lost_answer_to_a_commit_is_recognised", |server| block_on(lost_commit(server))));
        trials.push(on(server, "what_never_gets_better_comes_to_an_end", |server| block_on(never_better(server))));
        trials.push(on(server, "parts_go_side_by_side_and_again_alone", |server| block_on(parts(server))));
        trials.push(on(server, "a_store_that_asks_for_a_pause_gets_it", |server| block_on(pauses(server))));
    }
    trials.push(on("s3", "a_limit_of_speed_is_kept_both_ways", |server| block_on(limits_of_speed(server))));
    trials.push(on("s3", "a_proxy_and_its_settings", |server| block_on(through_a_proxy(server))));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut prng = Prng::new(seed);
    (0..length).map(|_| prng.bits().to_le_bytes()[3]).collect()
}

/// What may stand still for no longer than this, where something does; elsewhere a busy machine has its time.
const MOMENT: &str = "3s";

/// The server behind a proxy.
async fn behind(server: &Server, decide: impl FnMut(&common::proxy::Seen) -> Fate + Send + 'static) -> (Proxy, Server) {
    let endpoint = server.options["endpoint"].clone();
    let proxy = Proxy::before(&endpoint, decide).await;
    let behind = server.clone().with("endpoint", proxy.endpoint(&endpoint)).with("timeout", "1m");
    (proxy, behind)
}

fn quick() -> RunContext {
    let mut limits = Limits::default();
    limits.attempts = 5;
    limits.backoff = Duration::from_millis(5);
    limits.backoff_max = Duration::from_millis(50);
    limits.grace = Duration::ZERO;
    RunContext::new().with_limits(limits)
}

const TROUBLES: [Fate; 10] = [
    Fate::Cut,
    Fate::Lost,
    Fate::Reset,
    Fate::Stall,
    Fate::StallInAnswer,
    Fate::Truncate,
    Fate::Twice,
    Fate::Answer(503, "", "<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"),
    Fate::Answer(429, "", ""),
    Fate::Answer(500, "", "<Error><Code>InternalError</Code></Error>"),
];

/// What strikes now, and how often it has met what it is meant for.
#[derive(Debug, Default)]
struct Armed {
    with: Option<(Kind, Fate)>,
    met: usize,
}

/// Each trouble strikes the first requests of a kind, and every fifth. A third of all in a run
/// without `KRONOS_TEST_NETWORK=all`, another third on each server.
async fn every_trouble(server: Server) {
    let location = server.fresh();
    let run = quick();
    let armed: Arc<Mutex<Armed>> = Arc::default();
    let arms = Arc::clone(&armed);
    let (_proxy, behind) = behind(&server, move |seen| {
        let mut armed = arms.lock().unwrap();
        let Some((kind, trouble)) = armed.with.clone() else { return Fate::Pass };
        if seen.kind != kind {
            return Fate::Pass;
        }
        armed.met += 1;
        // What stands still takes its time.
        let is_slow = matches!(trouble, Fate::Stall | Fate::StallInAnswer);
        let strikes = armed.met == 1 || !is_slow && (armed.met == 2 || armed.met.is_multiple_of(5));
        if strikes { trouble } else { Fate::Pass }
    })
    .await;
    let storage = behind.with("timeout", MOMENT).open(&location);
    let chunker = ChunkerParameters::default();
    let repository = Repository::init(storage, &Protection::None, chunker, &run).await.unwrap();
    let (small, large) = (noise(1, 200_000), noise(2, 11 << 20));
    let all = std::env::var("KRONOS_TEST_NETWORK").is_ok_and(|all| all == "all");
    let mut n = SERVERS.iter().position(|name| *name == server.name).unwrap();
    for kind in KINDS {
        for trouble in TROUBLES {
            n += 1;
            if !all && n % SERVERS.len() != 0 {
                continue;
            }
            let what = format!("{trouble:?} at {kind:?}");
            // Parts come with packs of their size only.
            let is_large = matches!(kind, Kind::Begin | Kind::Part | Kind::Complete);
            *armed.lock().unwrap() = Armed { with: Some((kind, trouble)), met: 0 };
            one_trouble(&repository, if is_large { &large } else { &small }, &what).await;
            let met = std::mem::take(&mut *armed.lock().unwrap()).met;
            assert!(met > 0 || (server.name, kind) == ("azure", Kind::Begin), "{what}: no such request was made");
            let direct = Repository::open(server.open(&location), &Credentials::None, &run).await.unwrap();
            let found = list(&direct, Some(&what), &run).await.unwrap();
            assert_eq!(found.backups.len(), 1, "{what}: {:?}", found.backups);
        }
    }
    let direct = Repository::open(server.open(&location), &Credentials::None, &run).await.unwrap();
    let report = check(&direct, ReadData::All, &run).await.unwrap();
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
}

/// The whole life of a job of this name, all of which must go well.
async fn one_trouble(repository: &Repository, content: &[u8], what: &str) {
    let run = quick();
    let begun = Instant::now();
    let source = MemorySource::new("shop");
    source.set("orders", content.to_vec());
    let options = BackupOptions::new().with_job(what);
    let failed = |e: Error| panic!("{what}: {e:?}");
    let first = backup(repository, &source, &options, &run).await.unwrap_or_else(failed).backup.unwrap();
    source.set("orders", content[..content.len() / 2].to_vec());
    let second = backup(repository, &source, &options, &run).await.unwrap_or_else(failed).backup.unwrap();
    let target = MemorySource::new("target");
    restore(repository, &second, &target, &RestoreOptions::new(), &run)
        .await
        .unwrap_or_else(|e| panic!("{what}: {e:?}"));
    assert!(target.contents() == source.contents(), "{what}: restored wrongly");
    forget(repository, &first, &run).await.unwrap_or_else(|e| panic!("{what}: {e:?}"));
    for _ in 0..2 {
        let options = PruneOptions::new(Some(Retention { last: 1, ..Retention::default() }));
        prune(repository, what, &options, &run).await.unwrap_or_else(|e| panic!("{what}: {e:?}"));
    }
    assert!(begun.elapsed() < Duration::from_secs(90), "{what} took {:?}", begun.elapsed());
}

/// The put succeeded and its answer was lost: there is one backup, and its maker knows.
async fn lost_commit(server: Server) {
    for lost in [1, 4] {
        let location = server.fresh();
        let run = quick();
        let direct = Repository::init(server.open(&location), &Protection::None, ChunkerParameters::default(), &run)
            .await
            .unwrap();
        let left = Arc::new(AtomicUsize::new(lost));
        let (proxy, behind) = behind(&server, move |seen| {
            let is_commit = seen.kind == Kind::PutIfAbsent && seen.target.contains("/log/");
            let lose =
                is_commit && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
            if lose { Fate::Lost } else { Fate::Pass }
        })
        .await;
        let source = MemorySource::new("shop");
        source.set("orders", noise(1, 50_000));
        let repository = Repository::open(behind.open(&location), &Credentials::None, &run).await.unwrap();
        let made = backup(&repository, &source, &BackupOptions::new(), &run).await.unwrap().backup.unwrap();
        let puts =
            proxy.seen().iter().filter(|seen| seen.kind == Kind::PutIfAbsent && seen.target.contains("/log/")).count();
        assert_eq!(puts, lost + 1, "the same entry was put until the answer came");
        let found = list(&direct, None, &run).await.unwrap();
        assert_eq!(found.backups.iter().map(|b| b.id).collect::<Vec<_>>(), [made.id]);
    }
}

/// When all attempts are used up, the error says what and where; nothing is committed, and nothing waits for ever.
async fn never_better(server: Server) {
    for (trouble, kind) in [
        (Fate::Answer(503, "", ""), ErrorKind::Io),
        (Fate::Stall, ErrorKind::Timeout),
        (Fate::Cut, ErrorKind::Io),
        (Fate::Truncate, ErrorKind::Io),
    ] {
        let location = server.fresh();
        let run = quick();
        let direct = Repository::init(server.open(&location), &Protection::None, ChunkerParameters::default(), &run)
            .await
            .unwrap();
        let what = format!("{trouble:?}");
        let stands_still = trouble == Fate::Stall;
        let (_proxy, mut behind) = behind(&server, move |seen| {
            if seen.target.contains("/packs/") && seen.method == "PUT" { trouble.clone() } else { Fate::Pass }
        })
        .await;
        if stands_still {
            behind = behind.with("timeout", MOMENT);
        }
        let source = MemorySource::new("shop");
        source.set("orders", noise(1, 50_000));
        let begun = Instant::now();
        let repository = Repository::open(behind.open(&location), &Credentials::None, &run).await.unwrap();
        let made = backup(&repository, &source, &BackupOptions::new(), &run).await;
        // A truncated head of an answer to a put is no answer.
        let error = made.expect_err(&what);
        assert_eq!((error.kind(), error.retry()), (kind, Retry::Exhausted), "{what}: {error:?}");
        assert!(error.context("object").is_some_and(|object| object.contains("/packs/")), "{what}: {error:?}");
        assert!(error.context("host").is_some() && error.context("attempts") == Some("5"), "{what}: {error:?}");
        assert!(begun.elapsed() < Duration::from_secs(50), "{what} took {:?}", begun.elapsed());
        assert!(list(&direct, None, &run).await.unwrap().backups.is_empty(), "{what}");
        // Once the trouble is over, the next run needs nothing but to be run.
        backup(&direct, &source, &BackupOptions::new(), &run).await.unwrap();
        let report = check(&direct, ReadData::All, &run).await.unwrap();
        assert_eq!(report.problems, vec![], "{what}");
    }
}

/// The parts of one object are on their way together; one that failed is sent again, and no other.
async fn parts(server: Server) {
    const PART: usize = 5 << 20;
    let location = server.fresh();

    let seen_parts = Arc::new(Mutex::new(Vec::<String>::new()));
    let noted = Arc::clone(&seen_parts);
    let (proxy, behind) = behind(&server, move |seen| {
        if seen.kind != Kind::Part {
            return Fate::Pass;
        }
        let mut noted = noted.lock().unwrap();
        noted.push(seen.target.clone());
        if noted.len() == 2 { Fate::Answer(500, "", "") } else { Fate::Pass }
    })
    .await;

    let storage = behind.open(&location);
    let place = key("a/large");
    let mut upload = storage.begin_upload(&place).await.unwrap();
    let whole = noise(3, 4 * PART + 100);
    let mut failed = 0;
    for part in whole.chunks(PART) {
        while let Err(e) = upload.write(Bytes::copy_from_slice(part)).await {
            assert_eq!(e.retry(), Retry::Later, "{e:?}");
            failed += 1;
        }
    }
    while let Err(e) = upload.finish().await {
        assert_eq!(e.retry(), Retry::Later, "{e:?}");
        failed += 1;
    }
    assert_eq!(failed, 1);
    assert_eq!(seen_parts.lock().unwrap().len(), 6, "five parts, and one of them twice");
    assert!(server.open(&location).get(&place).await.unwrap() == whole);
    drop(proxy);
}

#[derive(Debug, Default)]
struct Retries(AtomicUsize);

impl Observer for Retries {
    fn on_event(&self, event: &Event) {
        if matches!(event, Event::Retrying { .. }) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn pauses(server: Server) {
    let location = server.fresh();
    let run = quick();
    Repository::init(server.open(&location), &Protection::None, ChunkerParameters::default(), &run).await.unwrap();
    let refusals = AtomicUsize::new(0);
    let (_proxy, behind) = behind(&server, move |seen| {
        if seen.target.contains("/packs/") && refusals.fetch_add(1, Ordering::Relaxed) == 0 {
            return Fate::Answer(503, "retry-after: 2\r\n", "<Error><Code>SlowDown</Code></Error>");
        }
        Fate::Pass
    })
    .await;
    let retries = Arc::new(Retries::default());
    let run = run.with_observer(Arc::clone(&retries) as _);
    let repository = Repository::open(behind.open(&location), &Credentials::None, &run).await.unwrap();
    let source = MemorySource::new("shop");
    source.set("orders", noise(1, 50_000));
    let begun = Instant::now();
    backup(&repository, &source, &BackupOptions::new(), &run).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(2), "it waited {:?}", begun.elapsed());
    assert_eq!(retries.0.load(Ordering::Relaxed), 1, "the user is told");
}

async fn limits_of_speed(server: Server) {
    let (place, bytes) = (key("a/b"), Bytes::from(noise(1, 1 << 20)));
    let storage =
        server.clone().with("upload_limit", "1MiB/s").with("download_limit", "512KiB/s").open(&server.fresh());
    let begun = Instant::now();
    storage.put(&place, bytes.clone()).await.unwrap();
    let up = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    assert!(storage.get(&place).await.unwrap() == bytes);
    let down = begun.elapsed().as_secs_f64();
    assert!((0.7..10.0).contains(&up), "a second's bytes went up in {up} s");
    assert!((1.5..20.0).contains(&down), "two seconds' bytes came down in {down} s");
    let free = server.open(&server.fresh());
    let mut times = Vec::new();
    // The machine may be busy; with a limit none could be faster.
    for name in ["b/a", "b/b", "b/c", "b/d", "b/e"] {
        let begun = Instant::now();
        free.put(&key(name), bytes.clone()).await.unwrap();
        times.push(begun.elapsed().as_secs_f64());
    }
    assert!(times.iter().any(|time| *time < 0.7), "without a limit there is none: {times:?}");
}

/// A proxy gets requests for other hosts than its own.
async fn through_a_proxy(server: Server) {
    let endpoint = server.options["endpoint"].clone();
    let proxy = Proxy::before(&endpoint, |_| Fate::Pass).await;
    let storage = server.clone().with("proxy", format!("http://{}", proxy.address)).open(&server.fresh());
    let place = key("a/b");
    assert_eq!(storage.put_if_absent(&place, Bytes::from_static(b"x")).await.unwrap(), PutOutcome::Created);
    assert_eq!(storage.get(&place).await.unwrap(), "x");
    let seen = proxy.seen();
    assert!(!seen.is_empty() && seen.iter().all(|seen| seen.target.starts_with("http://")), "{seen:?}");
    let nowhere = server.clone().with("proxy", "http://127.0.0.1:1").open(&server.fresh());
    let error: Error = nowhere.get(&place).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::ConnectionFailed, Retry::Later), "{error:?}");
}
