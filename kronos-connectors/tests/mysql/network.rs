//! A network that is cut, vanishes and falls silent: at moments that a seed chooses, and at those at
//! which the server holds something for Kronos. With `KRONOS_TEST_NETWORK=all` each trouble comes at
//! each of them, otherwise the one that is hardest to bear there.

use std::time::{Duration, Instant};

use kronos_connectors::mysql::{Consistency, Method, MysqlSettings, TlsMode};
use kronos_core::{ErrorKind, RestoreOptions, RunContext, list};
use libtest_mimic::Trial;

use crate::failures::User;
use crate::fixtures::{OLD, assert_nothing_beside, large, new};
use crate::proxy::{Proxy, Trouble, scattered};
use crate::server::{Database, Server, assert_same, back_up, block_on, bring_back, on_each, repository};

pub(crate) fn trials() -> Vec<Trial> {
    [
        on_each("a_network_that_is_cut_at_random", random_cuts),
        on_each("a_network_that_falls_silent", silence),
        on_each("a_network_that_is_lost_while_something_is_held", while_held),
        on_each("a_program_whose_server_is_out_of_reach", unreached),
        on_each("a_restore_over_a_network_that_is_cut", cut_restores),
        on_each("a_restore_that_is_cut_at_each_step", cut_steps),
        on_each("a_restore_over_a_network_that_falls_silent", silent_restores),
        on_each("a_rename_that_goes_on_without_its_restore", orphaned_rename),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// As many of them as a run has time for: the first, unless all are asked for.
pub(crate) fn some_of<T>(all: &[T], some: usize) -> &[T] {
    let is_all = std::env::var("KRONOS_TEST_NETWORK").is_ok_and(|value| value == "all");
    &all[..if is_all { all.len() } else { some.min(all.len()) }]
}

/// What a network that was lost may lead to.
const KINDS: [ErrorKind; 4] =
    [ErrorKind::ConnectionFailed, ErrorKind::ToolFailed, ErrorKind::Timeout, ErrorKind::Locked];

/// Through a proxy that can read.
pub(crate) fn through(proxy: &Proxy) -> impl Fn(&mut MysqlSettings) {
    let port = proxy.port;
    move |settings| {
        settings.port = port;
        settings.tls.mode = TlsMode::Disable;
        // Shorter ones are too short on a busy machine.
        settings.connect_timeout = Duration::from_secs(2);
        settings.lock_timeout = Duration::from_secs(1);
        settings.read_timeout = Duration::from_secs(2);
    }
}

/// Rows whose sum shows that none is torn or twice.
const SUM: &str = "SELECT COUNT(*), SUM(CRC32(v)), SUM(id) FROM t";

fn random_cuts(server: &Server) {
    let _users = crate::server::USERS.read().unwrap();
    let (source, user) = (large(server), User::new(server));
    let expected = source.sql(SUM);
    block_on(async {
        let (repository, run) = (repository().await, RunContext::new());
        let (mut committed, mut failed) = (0, 0);
        for n in some_of(&[0, 1, 2, 4, 5, 9, 3, 6, 7, 8, 10, 11], 6).iter().copied() {
            let trouble = [Trouble::One, Trouble::Cut, Trouble::One, Trouble::Gone][usize::try_from(n % 4).unwrap()];
            // In the first kilobytes everything is asked for, in the next megabytes rows are read.
            let bytes = if n % 3 == 0 { scattered(n, 60_000) } else { scattered(n, 50_000_000) };
            let proxy = Proxy::after_bytes(server.port, trouble, bytes, Duration::ZERO);
            let reading = user.source_with(&source, |settings| {
                through(&proxy)(settings);
                settings.tools = vec![server.bin.clone().into()];
                settings.method = if n % 5 == 4 { Method::Tool } else { Method::Native };
            });
            match back_up(&repository, &reading).await {
                Ok(_) => committed += 1,
                Err(error) => {
                    assert!(KINDS.contains(&error.kind()), "{trouble:?} after {bytes} bytes: {error:?}");
                    failed += 1;
                }
            }
            let there = list(&repository, None, &run).await.unwrap().backups.len();
            assert_eq!(there, committed, "{trouble:?} after {bytes} bytes");
        }
        assert!(committed > 0 && failed > 0, "{committed} committed, {failed} failed");
        for backup in list(&repository, None, &run).await.unwrap().backups {
            let target = server.new_name();
            let found = kronos_core::find_backup(&repository, &backup.id.to_string(), &run).await.unwrap();
            kronos_core::restore(&repository, &found, &target.source(), &RestoreOptions::new(), &run).await.unwrap();
            assert_eq!(target.sql(SUM), expected);
        }
    });
    user.no_session_is_left("after the cuts");
    assert_free(&source, "after the cuts");
}

/// No word and no end: after a while the connection counts as lost, and another one reads on.
fn silence(server: &Server) {
    let source = large(server);
    let expected = source.sql(SUM);
    block_on(async {
        let repository = repository().await;
        let proxy = Proxy::after_bytes(server.port, Trouble::Silent, 20_000_000, Duration::ZERO);
        let begun = Instant::now();
        back_up(&repository, &source.with(through(&proxy))).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(2), "it was never silent");
        drop(proxy);
        let target = server.new_name();
        bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        assert_eq!(target.sql(SUM), expected);
    });
}

/// The programs by themselves would wait for hours.
fn unreached(server: &Server) {
    let source = large(server);
    let expected = source.sql(SUM);
    let by_tool = |settings: &mut MysqlSettings| {
        settings.method = Method::Tool;
        settings.tools = vec![server.bin.clone().into()];
    };
    block_on(async {
        let repository = repository().await;
        let proxy = Proxy::after_bytes(server.port, Trouble::Vanished, 10_000_000, Duration::ZERO);
        let begun = Instant::now();
        let reading = source.with(|settings| {
            through(&proxy)(settings);
            by_tool(settings);
        });
        let error = back_up(&repository, &reading).await.unwrap_err();
        assert!(proxy.has_begun() && error.kind() == ErrorKind::ConnectionFailed, "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert!(list(&repository, None, &RunContext::new()).await.unwrap().backups.is_empty());
        drop(proxy);
        back_up(&repository, &source.with(by_tool)).await.unwrap();
        let target = server.new_name();
        let proxy = Proxy::after_bytes(server.port, Trouble::Vanished, 10_000_000, Duration::ZERO);
        let begun = Instant::now();
        let writing = target.with(|settings| {
            through(&proxy)(settings);
            by_tool(settings);
        });
        let error = bring_back(&repository, &writing, &RestoreOptions::new()).await.unwrap_err();
        assert!(proxy.has_begun() && error.kind() == ErrorKind::ConnectionFailed, "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert!(!server.databases().contains(&target.name));
        drop(proxy);
        bring_back(&repository, &target.with(by_tool), &RestoreOptions::new()).await.unwrap();
        assert_eq!(target.sql(SUM), expected);
        assert_nothing_beside(&target, "out of reach");
    });
}

/// Nobody has to wait: tables can be changed and rows be written, within some seconds.
#[track_caller]
fn assert_free(database: &Database, what: &str) {
    let begun = Instant::now();
    loop {
        let sql = "SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1; INSERT INTO u VALUES (2); ALTER TABLE u COMMENT = 'x'";
        match database.server.try_sql(&database.name, sql.as_bytes()) {
            Ok(_) => return,
            Err(error) => {
                let sessions = database.server.sql("", "SHOW FULL PROCESSLIST");
                assert!(begun.elapsed() < Duration::from_secs(10), "{what}: {error}\n{sessions}");
            }
        }
    }
}

fn while_held(server: &Server) {
    use Trouble::{Gone, One, Silent, Vanished};
    let _users = crate::server::USERS.read().unwrap();
    let (source, user) = (large(server), User::new(server));
    let moments: &[(&[&str], &[Trouble])] = if server.is_mariadb() {
        &[
            (&["BACKUP STAGE BLOCK_DDL"], &[One, Vanished]),
            (&["BACKUP STAGE BLOCK_COMMIT"], &[Vanished, One, Gone, Silent]),
            (&["BACKUP STAGE BLOCK_COMMIT", "START TRANSACTION"], &[Silent, One]),
            (&["BACKUP STAGE END"], &[Gone, One]),
            (&["SAVEPOINT"], &[Silent, One]),
            (&["ROLLBACK TO"], &[Gone, Silent]),
        ]
    } else {
        &[
            (&["LOCK INSTANCE"], &[One, Vanished, Silent]),
            (&["FLUSH TABLES"], &[Vanished, One, Gone, Silent]),
            (&["FLUSH TABLES", "START TRANSACTION"], &[Silent, One]),
            (&["UNLOCK TABLES"], &[Gone, One]),
            (&["SAVEPOINT"], &[One, Silent]),
            (&["ROLLBACK TO"], &[Gone, Silent]),
        ]
    };
    for (words, troubles) in moments {
        for trouble in some_of(troubles, 1) {
            let what = format!("{trouble:?} at {words:?}");
            let proxy = Proxy::after_words(server.port, *trouble, words);
            let reading = user.source_with(&source, |settings| {
                through(&proxy)(settings);
                settings.consistency = Consistency::Lock;
            });
            let begun = Instant::now();
            let done = block_on(async { back_up(&repository().await, &reading).await });
            if let Err(error) = &done {
                assert!(KINDS.contains(&error.kind()), "{what}: {error:?}");
            }
            assert!(proxy.has_begun() && begun.elapsed() < Duration::from_secs(25), "{what}: {:?}", begun.elapsed());
            // Also of a client who vanished the server lets go by itself.
            assert_free(&source, &what);
            drop(proxy);
            user.no_session_is_left(&what);
        }
    }
}

/// The target is there whole, or not at all.
fn cut_restores(server: &Server) {
    let source = large(server);
    let expected = source.sql(SUM);
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        for n in some_of(&[0, 1, 3, 4, 2, 5], 4).iter().copied() {
            let bytes = if n % 2 == 0 { scattered(n, 30_000) } else { scattered(n, 80_000_000) };
            let trouble = if n % 4 < 2 { Trouble::Cut } else { Trouble::Gone };
            let proxy = Proxy::after_bytes(server.port, trouble, bytes, Duration::ZERO);
            let target = server.new_name();
            let done = bring_back(&repository, &target.with(through(&proxy)), &RestoreOptions::new()).await;
            drop(proxy);
            let what = format!("{trouble:?} after {bytes} bytes");
            match done {
                Ok(_) => assert_eq!(target.sql(SUM), expected),
                Err(error) => assert!(!server.databases().contains(&target.name), "{what}: {error:?}"),
            }
            // What could not be removed over a dead network, the next restore removes.
            bring_back(&repository, &target.source(), &RestoreOptions::new().with_replace()).await.unwrap();
            assert_eq!(target.sql(SUM), expected);
            assert_nothing_beside(&target, &what);
        }
    });
}

/// Old or new, and after the next restore new; nothing is left beside it.
fn cut_steps(server: &Server) {
    use Trouble::{Gone, One};
    let source = new(server);
    let expected = source.all();
    let repository = block_on(repository());
    block_on(back_up(&repository, &source.source())).unwrap();
    let steps: &[(&[&str], [Trouble; 2])] = &[
        (&["CREATE DATABASE"], [One, Gone]),
        (&["CREATE TABLE"], [Gone, One]),
        (&["LOAD DATA"], [One, Gone]),
        (&["ADD KEY"], [Gone, One]),
        (&["'kronos swap"], [One, Gone]),
        (&["DROP PROCEDURE"], [Gone, One]),
        (&["\"step\":\"swapping"], [One, Gone]),
        (&["REPLACE INTO", "REPLACE INTO"], [Gone, One]),
        (&["RENAME TABLE"], [One, Gone]),
        (&["RENAME TABLE", "CREATE DEFINER"], [Gone, One]),
        (&["RENAME TABLE", "REPLACE INTO"], [One, Gone]),
        (&["RENAME TABLE", "DROP DATABASE"], [One, Gone]),
    ];
    let options = RestoreOptions::new().with_replace();
    for (words, troubles) in steps {
        for trouble in some_of(troubles, 1).iter().copied() {
            let what = format!("{trouble:?} at {words:?}");
            let target = server.database(OLD);
            let before = target.all();
            let proxy = Proxy::after_words(server.port, trouble, words);
            let begun = Instant::now();
            let done = block_on(bring_back(&repository, &target.with(through(&proxy)), &options));
            assert!(begun.elapsed() < Duration::from_secs(25), "{what}: {:?}", begun.elapsed());
            if !proxy.has_begun() {
                assert!(words[0].contains("step"), "{what}: it was never said");
                done.unwrap();
                continue;
            }
            drop(proxy);
            // When no word gets through any more, what was begun waits for the next one.
            match done {
                Ok(_) => {
                    assert_same(&target.all(), &expected, &what);
                    // The rest of it is done over another connection.
                    if trouble == One {
                        assert_nothing_beside(&target, &what);
                    }
                }
                Err(error) if trouble == One => {
                    assert_same(&target.all(), &before, &format!("{what}: {error}"));
                    assert_nothing_beside(&target, &format!("{what}: {error:?}"));
                }
                Err(_) => {}
            }
            block_on(bring_back(&repository, &target.source(), &options)).unwrap_or_else(|e| panic!("{what}: {e:?}"));
            assert_same(&target.all(), &expected, &what);
            assert_nothing_beside(&target, &what);
        }
    }
}

/// The server goes on with what was asked for last, though nobody is there any more: what undoes it
/// waits for that.
fn orphaned_rename(server: &Server) {
    let source = new(server);
    let expected = source.all();
    let repository = block_on(repository());
    block_on(back_up(&repository, &source.source())).unwrap();
    let options = RestoreOptions::new().with_replace();
    for pause in some_of(&[600, 200, 1000], 1).iter().copied() {
        let target = server.database(OLD);
        let before = target.all();
        let mut holder = server.program("client");
        holder.arg(format!("--database={}", target.name));
        holder.arg("--execute=BEGIN; SELECT * FROM gone; SELECT SLEEP(60)").stdout(std::process::Stdio::null());
        let mut holder = holder.stderr(std::process::Stdio::null()).spawn().unwrap();
        let sleeping = "SELECT COUNT(*) FROM information_schema.processlist WHERE info = 'SELECT SLEEP(60)'";
        while server.sql("", sleeping) != "1" {
            std::thread::sleep(Duration::from_millis(20));
        }
        let proxy = Proxy::after_words(server.port, Trouble::One, &["RENAME TABLE"]);
        let reading = target.with(|settings| {
            through(&proxy)(settings);
            settings.lock_timeout = Duration::from_secs(20);
        });
        let letting_go = async {
            while !proxy.has_begun() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let name = &target.name;
            let find = format!(
                "SELECT CONCAT('KILL ', id, ';') FROM information_schema.processlist WHERE db = '{name}' AND info LIKE '%SLEEP(60)%' AND id <> CONNECTION_ID()"
            );
            let kill = server.sql("", &find);
            server.try_sql("", kill.as_bytes()).unwrap();
        };
        let (done, ()) = block_on(async { tokio::join!(bring_back(&repository, &reading, &options), letting_go) });
        let _ = holder.wait();
        let what = format!("after {pause} ms: {:?}", done.as_ref().err());
        drop(proxy);
        // What the server is still at when nobody hears it any more has its end.
        std::thread::sleep(Duration::from_millis(1500));
        let wanted = if done.is_ok() { &expected } else { &before };
        let begun = Instant::now();
        while target.all() != *wanted && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_same(&target.all(), wanted, &what);
        assert_nothing_beside(&target, &what);
        block_on(bring_back(&repository, &target.source(), &options)).unwrap();
        assert_same(&target.all(), &expected, &what);
        assert_nothing_beside(&target, &what);
    }
}

/// It ends in its time, and in an error; the target is as it was.
fn silent_restores(server: &Server) {
    use Trouble::{Silent, Vanished};
    let source = new(server);
    let expected = source.all();
    let repository = block_on(repository());
    block_on(back_up(&repository, &source.source())).unwrap();
    let steps: &[(&[&str], Trouble)] = &[
        (&["LOAD DATA"], Silent),
        (&["RENAME TABLE"], Silent),
        (&["LOAD DATA"], Vanished),
        (&["CREATE TABLE"], Silent),
        (&["INSERT INTO"], Silent),
        (&["'kronos swap"], Silent),
        (&["ADD KEY"], Vanished),
        (&["RENAME TABLE"], Vanished),
        (&["RENAME TABLE", "REPLACE INTO"], Silent),
    ];
    let options = RestoreOptions::new().with_replace();
    for (words, trouble) in some_of(steps, 2).iter().copied() {
        let what = format!("{trouble:?} at {words:?}");
        let target = server.database(OLD);
        let before = target.all();
        let proxy = Proxy::after_words(server.port, trouble, words);
        let writing = target.with(|settings| {
            through(&proxy)(settings);
            settings.load = words[0] != "INSERT INTO";
        });
        let begun = Instant::now();
        let done = block_on(bring_back(&repository, &writing, &options));
        assert!(proxy.has_begun() && begun.elapsed() < Duration::from_secs(25), "{what}: {:?}", begun.elapsed());
        match done {
            // What is in its place already need not be undone.
            Ok(_) => assert_same(&target.all(), &expected, &what),
            Err(error) => {
                assert!(KINDS.contains(&error.kind()), "{what}: {error:?}");
                // When no word gets through any more, a rename that was begun waits for the next one.
                if trouble == Silent || words[0] != "RENAME TABLE" {
                    assert_same(&target.all(), &before, &format!("{what}: {error}"));
                }
                if trouble == Silent {
                    assert_nothing_beside(&target, &format!("{what}: {error:?}"));
                }
            }
        }
        drop(proxy);
        block_on(bring_back(&repository, &target.source(), &options)).unwrap_or_else(|e| panic!("{what}: {e:?}"));
        assert_same(&target.all(), &expected, &what);
        assert_nothing_beside(&target, &what);
    }
}
