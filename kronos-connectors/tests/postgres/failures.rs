//! Writers beside a backup, locks, connections that are cut.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kronos_connectors::postgres::{Method, PostgresSource};
use kronos_core::{
    Connector, DumpRequest, ErrorKind, Outline, Repository, RestoreOptions, RunContext, StreamId, find_backup, list,
    restore,
};
use libtest_mimic::Trial;

use crate::server::{Database, Server, back_up, block_on, bring_back, on_each, repository};

pub(crate) fn trials() -> Vec<Trial> {
    [
        on_each("one_snapshot_while_writers_commit", snapshot),
        on_each("balances_agree_with_the_history_under_pgbench", pgbench),
        on_each("a_table_that_is_emptied_meanwhile", emptied),
        on_each("a_lock_that_someone_waits_for", waiting_lock),
        on_each("a_lock_that_is_never_given_back", endless_lock),
        on_each("a_cut_connection_is_replaced", cut),
        on_each("a_lost_snapshot_ends_the_backup", lost_snapshot),
        on_each("a_restore_that_is_cut_leaves_nothing", cut_restore),
        on_each("a_cancelled_run_leaves_no_session", cancelled),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs SQL again and again until it is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<u32>>,
}

impl Load {
    fn start(server: &Server, database: &str, threads: usize, sql: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let run = |_| {
            let (server, database, stop) = (server.clone(), database.to_owned(), stop.clone());
            std::thread::spawn(move || {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    server.sql(&database, sql);
                    count += 1;
                }
                count
            })
        };
        Self { stop: stop.clone(), threads: (0..threads).map(run).collect() }
    }

    fn stop(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}

/// Money goes from account to account and into a book, large enough that ranges are read one after
/// the other: what was restored must add up.
fn snapshot(server: &Server) {
    let source = server.database(
        "CREATE TABLE accounts(id int PRIMARY KEY, balance bigint, filler text); ALTER TABLE accounts ALTER filler SET STORAGE PLAIN; \
         INSERT INTO accounts SELECT i, 0, repeat(md5(i::text), 200) FROM generate_series(1, 12000) i; \
         CREATE TABLE book(account int, amount bigint); VACUUM ANALYZE",
    );
    let load = Load::start(
        server,
        &source.name,
        2,
        "BEGIN; UPDATE accounts SET balance = balance + 7 WHERE id = 11990; INSERT INTO book VALUES (11990, 7); COMMIT; \
         BEGIN; UPDATE accounts SET balance = balance - 3 WHERE id = 5; INSERT INTO book VALUES (5, -3); COMMIT;",
    );
    block_on(async {
        for _ in 0..3 {
            let repository = repository().await;
            let backup = back_up(&repository, &source.source()).await.unwrap();
            assert!(
                backup.streams > 4 || server.version() < 140_000,
                "the table is read in ranges: {}",
                backup.streams
            );
            let target = server.new_name();
            bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
            let wrong = target.sql(
                "SELECT count(*) FROM accounts a LEFT JOIN (SELECT account, sum(amount) s FROM book GROUP BY 1) b ON b.account = a.id \
                 WHERE balance <> coalesce(s, 0)",
            );
            assert_eq!((wrong.as_str(), target.sql("SELECT count(*) FROM accounts").as_str()), ("0", "12000"));
        }
    });
    assert!(load.stop() > 10, "writers went on");
}

/// A snapshot that was taken before a TRUNCATE was committed would see neither its old nor its new rows.
/// `pgbench` goes on all the while, and would give up if a lock kept it waiting for two seconds.
fn pgbench(server: &Server) {
    let source = server.database("");
    let bench = |arguments: &[&str]| {
        let mut command = server.program("pgbench");
        command.args(arguments).arg(&source.name).env("PGOPTIONS", "-c lock_timeout=2000");
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    assert!(bench(&["-i", "-q", "-s", "3"]).wait().unwrap().success());
    let mut load = bench(&["-n", "-c", "4", "-T", "600"]);
    let history = |database: &Database| database.sql("SELECT count(*) FROM pgbench_history").parse::<u64>().unwrap();
    block_on(async {
        for method in [Method::Native, Method::Tool, Method::Native] {
            let repository = repository().await;
            let before = history(&source);
            back_up(&repository, &source.source_by(method)).await.unwrap();
            assert!(load.try_wait().unwrap().is_none(), "a writer was kept waiting");
            let after = history(&source);
            let target = server.new_name();
            bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
            assert!(after > before && (before..=after).contains(&history(&target)), "{method:?}");
            let sums = target.sql(
                "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches), \
                    (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(delta) FROM pgbench_history)",
            );
            let sums: Vec<&str> = sums.split('|').collect();
            assert!(sums.iter().all(|sum| *sum == sums[0]), "{method:?}: {sums:?}");
        }
    });
    load.kill().unwrap();
    load.wait().unwrap();
}

fn emptied(server: &Server) {
    let source = server.database("CREATE TABLE t(x int); INSERT INTO t VALUES (1), (2)");
    let name = source.name.clone();
    let other = server.clone();
    let writer = std::thread::spawn(move || {
        other.sql(&name, "BEGIN; TRUNCATE t; INSERT INTO t VALUES (7); SELECT pg_sleep(1.5); COMMIT");
    });
    std::thread::sleep(Duration::from_millis(500));
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        let target = server.new_name();
        bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        assert_eq!(target.sql("SELECT string_agg(x::text, ' ') FROM t"), "7");
    });
    writer.join().unwrap();
}

/// Someone wants to change a table while it is backed up: he waits, and the backup does not wait for him.
fn waiting_lock(server: &Server) {
    let source = server
        .database("CREATE TABLE a(x int); INSERT INTO a VALUES (1); CREATE TABLE b(x int); INSERT INTO b VALUES (2)");
    let (name, other) = (source.name.clone(), server.clone());
    block_on(async {
        let run = RunContext::new();
        let dump = source.source().begin_dump(&DumpRequest::default(), &run).await.unwrap();
        let writer = std::thread::spawn(move || other.sql(&name, "ALTER TABLE b ADD COLUMN y int DEFAULT 3"));
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'b'::regclass";
        while source.sql(waits) == "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let begun = Instant::now();
        let (id, _) = stream(dump.outline(), "public.b");
        let (bytes, end) = dump.open(id).await.unwrap().collect().await.unwrap();
        assert_eq!((bytes.as_slice(), end.rows), (&b"2\n"[..], Some(1)));
        assert!(begun.elapsed() < Duration::from_secs(20), "it waited for the one who waits for it");
        dump.abort().await;
        writer.join().unwrap();
    });
}

fn stream(outline: &Outline, name: &str) -> (StreamId, String) {
    let at = outline.streams.iter().position(|s| s.name.ends_with(&format!("/{name}"))).unwrap();
    (StreamId(u32::try_from(at).unwrap()), outline.streams[at].name.clone())
}

fn endless_lock(server: &Server) {
    let source = server.database("CREATE TABLE t(x int)");
    let (name, other) = (source.name.clone(), server.clone());
    let writer = std::thread::spawn(move || {
        other.sql(&name, "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(4); COMMIT")
    });
    std::thread::sleep(Duration::from_millis(500));
    let mut settings = server.settings([&source.name]);
    settings.lock_timeout = Duration::from_secs(1);
    block_on(async {
        let error = back_up(&repository().await, &PostgresSource::new(settings).unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}");
        assert!(error.context("hint").is_some());
    });
    writer.join().unwrap();
}

pub(crate) fn big(server: &Server) -> Database {
    server.database(
        "CREATE TABLE t(id int, body text); ALTER TABLE t ALTER body SET STORAGE PLAIN; \
         INSERT INTO t SELECT i, repeat(md5(i::text), 100) FROM generate_series(1, 20000) i",
    )
}

pub(crate) const SUM: &str = "SELECT count(*), md5(string_agg(md5(body), '' ORDER BY id)) FROM t";

/// Every backup of a repository brings the big table back.
pub(crate) async fn assert_each_is_whole(repository: &Repository, server: &Server, expected: &str) {
    let run = RunContext::new();
    for backup in list(repository, None, &run).await.unwrap().backups {
        let target = server.new_name();
        let found = find_backup(repository, &backup.id.to_string(), &run).await.unwrap();
        restore(repository, &found, &target.source(), &RestoreOptions::new(), &run).await.unwrap();
        assert_eq!(target.sql(SUM), expected);
    }
}

/// The server ends the sessions that read: others take their place, as the snapshot is still held.
fn cut(server: &Server) {
    let source = big(server);
    let expected = source.sql(SUM);
    let stop = Arc::new(AtomicBool::new(false));
    let (name, other, stopped) = (source.name.clone(), server.clone(), stop.clone());
    let killer = std::thread::spawn(move || {
        let mut killed = 0;
        while killed < 3 && !stopped.load(Ordering::Relaxed) {
            let sql = "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity \
                WHERE datname = current_database() AND application_name = 'kronos' AND state = 'active' AND query LIKE 'COPY%' LIMIT 1) x";
            killed += other.sql(&name, sql).parse::<u32>().unwrap();
        }
        killed
    });
    block_on(async {
        let repository = repository().await;
        let done = back_up(&repository, &source.source()).await;
        stop.store(true, Ordering::Relaxed);
        done.unwrap();
        let target = server.new_name();
        bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        assert_eq!(target.sql(SUM), expected);
    });
    assert!(killer.join().unwrap() > 0, "no session was ended in time");
}

/// Without the snapshot nothing can go on, and nothing is committed.
fn lost_snapshot(server: &Server) {
    let source = big(server);
    block_on(async {
        let run = RunContext::new();
        let dump = source.source().begin_dump(&DumpRequest::default(), &run).await.unwrap();
        source.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'kronos'",
        );
        let mut errors = Vec::new();
        for (n, _) in dump.outline().streams.iter().enumerate() {
            errors.extend(dump.open(StreamId(u32::try_from(n).unwrap())).await.unwrap().collect().await.err());
        }
        errors.push(dump.finish().await.unwrap_err());
        // A new session finds no snapshot.
        for error in &errors {
            assert!([ErrorKind::ConnectionFailed, ErrorKind::ToolFailed].contains(&error.kind()), "{error:?}");
        }
        assert!(errors.iter().any(|error| error.message().contains("snapshot")), "{errors:?}");
        let repository = repository().await;
        let (name, other) = (source.name.clone(), server.clone());
        let killer = std::thread::spawn(move || {
            for _ in 0..400 {
                let sql = format!(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}' AND application_name LIKE 'kronos%'"
                );
                other.sql("postgres", &sql);
            }
        });
        while !killer.is_finished() {
            if let Err(error) = back_up(&repository, &source.source()).await {
                assert!([ErrorKind::ConnectionFailed, ErrorKind::ToolFailed].contains(&error.kind()), "{error:?}");
            }
        }
        killer.join().unwrap();
        // Whatever was committed is whole.
        let expected = source.sql(SUM);
        assert_each_is_whole(&repository, server, &expected).await;
    });
    server.no_session_is_left(&[&source.name]);
}

fn cut_restore(server: &Server) {
    let source = big(server);
    block_on(async {
        for method in [Method::Native, Method::Tool] {
            let repository = repository().await;
            back_up(&repository, &source.source_by(method)).await.unwrap();
            let target = server.new_name();
            let (name, other) = (target.name.clone(), server.clone());
            let killer = std::thread::spawn(move || {
                let sql = format!(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname LIKE '{name}%' AND query LIKE 'COPY%' AND state = 'active'"
                );
                while other.sql("postgres", &sql) == "0" {}
            });
            let error = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap_err();
            killer.join().unwrap();
            assert!([ErrorKind::ConnectionFailed, ErrorKind::ToolFailed].contains(&error.kind()), "{error:?}");
            let left = format!("SELECT count(*) FROM pg_database WHERE datname LIKE '{}%'", target.name);
            assert_eq!(server.sql("postgres", &left), "0", "{method:?}");
        }
    });
}

fn cancelled(server: &Server) {
    let source = big(server);
    block_on(async {
        for pause in [0, 5, 20, 50, 100] {
            for method in [Method::Native, Method::Tool] {
                let run = RunContext::new();
                let (cancel, repository) = (run.cancel.clone(), repository().await);
                let stop = async {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    cancel.cancel();
                };
                let source = source.source_by(method);
                let options = kronos_core::BackupOptions::new();
                let (done, ()) = tokio::join!(kronos_core::backup(&repository, &source, &options, &run), stop);
                if let Err(error) = done {
                    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
                }
            }
        }
    });
    server.no_session_is_left(&[&source.name]);
}
