//! What others do while a restore goes on: they make the target, put something into it, or have events
//! that are due when tables change their places. Nothing of theirs is overwritten.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kronos_connectors::mysql::TlsMode;
use kronos_core::{ErrorKind, RestoreOptions};
use libtest_mimic::Trial;

use crate::fixtures::{OLD, assert_nothing_beside, new};
use crate::proxy::{Proxy, Trouble};
use crate::server::{Database, Server, assert_same, back_up, block_on, bring_back, on_each, quoted, repository};

pub(crate) fn trials() -> Vec<Trial> {
    [
        on_each("a_target_that_others_make_is_theirs", made_by_others),
        on_each("what_others_put_into_an_empty_target_is_theirs", filled_by_others),
        on_each("of_several_databases_none_is_placed_when_one_cannot_be", one_of_several),
        on_each("events_are_due_while_tables_change_their_places", events),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn through(target: &Database, proxy: &Proxy) -> kronos_connectors::mysql::MysqlSource {
    target.with(|settings| {
        settings.port = proxy.port;
        settings.tls.mode = TlsMode::Disable;
    })
}

/// Whenever they do it, and whether the restore may replace what it finds: that was not there.
fn made_by_others(server: &Server) {
    let source = new(server);
    let expected = source.all();
    let repository = block_on(repository());
    block_on(back_up(&repository, &source.source())).unwrap();
    let other = "CREATE TABLE other(x INT)";
    let cases: [(&[&'static str], &str); 6] = [
        (&["CREATE TABLE"], OLD),
        (&["LOAD DATA"], ""),
        (&["DROP PROCEDURE"], OLD),
        (&["CREATE DATABASE", "CREATE DATABASE"], ""),
        (&["CREATE DATABASE", "CREATE DATABASE"], other),
        (&["CREATE DATABASE", "CREATE DATABASE"], OLD),
    ];
    for (n, (words, theirs)) in cases.into_iter().enumerate() {
        let target = server.new_name();
        let what = format!("{theirs:?} at {words:?}");
        let (other, name, made) = (server.clone(), target.name.clone(), Arc::new(Mutex::new(String::new())));
        let making = made.clone();
        let proxy = Proxy::doing(server.port, words, move || {
            other.sql("", &format!("CREATE DATABASE {}", quoted(&name)));
            other.sql(&name, theirs);
            *making.lock().unwrap() = other.dumped(&name);
        });
        let mut options = RestoreOptions::new();
        options.replace = n % 2 == 1;
        let error = block_on(bring_back(&repository, &through(&target, &proxy), &options)).unwrap_err();
        assert!(proxy.has_begun(), "{what}: it was never said");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{what}: {error:?}");
        assert!(error.message().contains("somebody else has made the database"), "{what}: {error}");
        assert_nothing_beside(&target, &what);
        drop(proxy);
        assert_same(&target.all(), &made.lock().unwrap(), &what);
        // Asked to, the next one replaces it.
        block_on(bring_back(&repository, &target.source(), &RestoreOptions::new().with_replace())).unwrap();
        assert_same(&target.all(), &expected, &what);
    }
}

/// In time it is refused; in the last moment what has another name stays, and what has the same name
/// lets nothing else in.
fn filled_by_others(server: &Server) {
    let source = new(server);
    let repository = block_on(repository());
    block_on(back_up(&repository, &source.source())).unwrap();
    let cases: [(&[&'static str], &str, bool); 4] = [
        (&["LOAD DATA"], "CREATE TABLE other(x INT); INSERT INTO other VALUES (1)", false),
        (&["LOAD DATA"], "CREATE PROCEDURE p() SELECT 'theirs'", false),
        (&["RENAME TABLE"], OLD, false),
        (&["RENAME TABLE"], "CREATE TABLE other(x INT); INSERT INTO other VALUES (1)", true),
    ];
    for (words, theirs, goes) in cases {
        let what = format!("{theirs:?} at {words:?}");
        let target = server.database("");
        let (other, name, made) = (server.clone(), target.name.clone(), Arc::new(Mutex::new(String::new())));
        let making = made.clone();
        let proxy = Proxy::doing(server.port, words, move || {
            other.sql(&name, theirs);
            *making.lock().unwrap() = other.dumped(&name);
        });
        let done = block_on(bring_back(&repository, &through(&target, &proxy), &RestoreOptions::new()));
        assert!(proxy.has_begun(), "{what}: it was never said");
        drop(proxy);
        if goes {
            done.unwrap();
            assert_eq!(target.sql("SELECT (SELECT x FROM other), (SELECT v FROM t)"), "1\tnew");
        } else {
            let error = done.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{what}: {error:?}");
            assert_same(&target.all(), &made.lock().unwrap(), &what);
        }
        assert_nothing_beside(&target, &what);
    }
}

/// What is wrong with the last one is found before the first one has its place.
fn one_of_several(server: &Server) {
    let (one, two) = (server.database("CREATE TABLE t(x INT)"), server.database("CREATE TABLE t(x INT)"));
    let repository = block_on(repository());
    let both = [one.name.as_str(), two.name.as_str()];
    block_on(back_up(&repository, &server.source(both))).unwrap();
    server.sql("", &format!("DROP DATABASE {}; DROP DATABASE {}", one.name, two.name));
    let (other, name) = (server.clone(), two.name.clone());
    let proxy = Proxy::doing(server.port, &["CREATE TABLE", "CREATE TABLE"], move || {
        other.sql("", &format!("CREATE DATABASE {name}"));
    });
    let mut settings = server.settings(both);
    settings.port = proxy.port;
    settings.tls.mode = TlsMode::Disable;
    let target = kronos_connectors::mysql::MysqlSource::new(settings).unwrap();
    let error = block_on(bring_back(&repository, &target, &RestoreOptions::new())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
    assert!(!server.databases().contains(&one.name), "the first one got its place");
    assert_nothing_beside(&one, "the first");
    assert_nothing_beside(&two, "the second");
    assert_eq!(two.sql("SHOW TABLES"), "");
}

/// Events run on this server until this is dropped.
struct Scheduler<'a>(&'a Server);

impl<'a> Scheduler<'a> {
    fn start(server: &'a Server) -> Self {
        server.sql("", "SET GLOBAL event_scheduler = ON");
        Self(server)
    }
}

impl Drop for Scheduler<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_sql("", b"SET GLOBAL event_scheduler = OFF");
    }
}

fn wait_for(database: &Database, sql: &str, what: &str) {
    let begun = Instant::now();
    while database.sql(sql) != "1" {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: {}", database.sql("SELECT * FROM log"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Those of the old database are gone before its tables are; those of the new one come when everything
/// is there. When the restore fails, the old ones run again.
fn events(server: &Server) {
    let database = |who: &str| {
        server.database(&format!(
            "CREATE TABLE log(id INT AUTO_INCREMENT PRIMARY KEY, who VARCHAR(10)); INSERT INTO log(who) VALUES ('{who}'); \
             CREATE TABLE only_{who}(x INT); CREATE VIEW v AS SELECT who FROM log; \
             CREATE EVENT e_{who} ON SCHEDULE EVERY 1 SECOND DO INSERT INTO log(who) SELECT 'by {who}' FROM v LIMIT 1"
        ))
    };
    let source = database("new");
    let repository = block_on(repository());
    block_on(back_up(&repository, &source.source())).unwrap();
    let options = RestoreOptions::new().with_replace();
    let by_old = "SELECT COUNT(*) > 0 FROM log WHERE who = 'by old'";
    let pause = || std::thread::sleep(Duration::from_millis(1200));
    for words in [&["RENAME TABLE"][..], &["RENAME TABLE", "CREATE DEFINER"]] {
        let target = database("old");
        let _events = Scheduler::start(server);
        wait_for(&target, by_old, "the old events run");
        let proxy = Proxy::holding(server.port, words, pause);
        block_on(bring_back(&repository, &through(&target, &proxy), &options)).unwrap();
        assert!(proxy.has_begun(), "{words:?} was never said");
        assert_eq!(target.sql("SELECT COUNT(*) FROM log WHERE who = 'new'"), "1", "{words:?}");
        wait_for(&target, "SELECT COUNT(*) > 0 FROM log WHERE who = 'by new'", "the new events run");
        assert_eq!(target.sql(by_old), "0", "{words:?}");
        assert_nothing_beside(&target, "events");
    }
    let target = database("old");
    let _events = Scheduler::start(server);
    let proxy = Proxy::after_words(server.port, Trouble::One, &["RENAME TABLE", "CREATE DEFINER"]);
    block_on(bring_back(&repository, &through(&target, &proxy), &options)).unwrap_err();
    assert!(proxy.has_begun(), "it was never said");
    target.sql("DELETE FROM log WHERE who = 'by old'");
    wait_for(&target, by_old, "the old events run again");
    assert_eq!(target.sql("SELECT COUNT(*) FROM log WHERE who <> 'old' AND who <> 'by old'"), "0");
}
