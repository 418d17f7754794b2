//! Connections that are killed, restores that are killed, tables that change: nothing half done, and
//! nothing left behind.

use std::time::Duration;

use kronos_connectors::mysql::{MysqlSettings, MysqlSource};
use kronos_core::{Connector, DumpRequest, ErrorKind, Piece, RestoreOptions, RunContext, StreamId};
use libtest_mimic::Trial;

use crate::fixtures::{OLD, assert_nothing_beside, large, new};
use crate::network::some_of;
use crate::proxy::Proxy;
use crate::server::{Database, Server, assert_same, back_up, block_on, bring_back, fresh, on_each, repository};

pub(crate) fn trials() -> Vec<Trial> {
    [
        on_each("another_connection_reads_on", killed_connection),
        on_each("a_table_that_changes_is_told", changed),
        on_each("an_alter_between_snapshots_and_definitions_is_told", altered_at_once),
        on_each("each_session_is_killed_in_turn", each_killed),
        on_each("a_restore_stays_alive_without_its_first_session", stays_alive),
        on_each("nothing_is_left_on_the_server", left),
        on_each("a_table_that_was_read_is_free_again", free_again),
        on_each("a_killed_restore_is_finished_or_undone", killed),
        on_each("what_cannot_be_made_undoes_the_swap", undone),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A user of whom every session is known.
pub(crate) struct User<'a>(&'a Server, String);

impl<'a> User<'a> {
    pub(crate) fn new(server: &'a Server) -> Self {
        let name = fresh("k");
        server.sql("", &format!("CREATE USER {name}@'%' IDENTIFIED BY 'x'; GRANT ALL ON *.* TO {name}@'%'"));
        Self(server, name)
    }

    pub(crate) fn sessions(&self) -> Vec<String> {
        let sql = format!("SELECT id FROM information_schema.processlist WHERE user = '{}' ORDER BY id", self.1);
        self.0.sql("", &sql).lines().map(str::to_owned).collect()
    }

    pub(crate) fn source(&self, database: &Database) -> MysqlSource {
        self.source_with(database, |_| ())
    }

    pub(crate) fn source_with(&self, database: &Database, change: impl FnOnce(&mut MysqlSettings)) -> MysqlSource {
        database.with(|settings| {
            settings.user.clone_from(&self.1);
            settings.password = Some(kronos_core::Secret::new("x"));
            change(settings);
        })
    }

    /// Of those that there are now, within some seconds all have ended.
    pub(crate) fn no_session_is_left(&self, what: &str) {
        let begun = std::time::Instant::now();
        while !self.sessions().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{what}: a session is left: {:?}", self.sessions());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_sql("", format!("DROP USER {}@'%'", self.1).as_bytes());
    }
}

/// The place of the stream of a table.
fn place(dump: &dyn kronos_core::Dump, table: &str) -> StreamId {
    let at = dump.outline().streams.iter().position(|stream| stream.name.ends_with(&format!("/{table}"))).unwrap();
    StreamId(u32::try_from(at).unwrap())
}

fn killed_connection(server: &Server) {
    let _users = crate::server::USERS.read().unwrap();
    let (database, user) = (large(server), User::new(server));
    let expected = block_on(async {
        let dump = database.source().begin_dump(&DumpRequest::default(), &RunContext::new()).await.unwrap();
        dump.open(place(&*dump, "t")).await.unwrap().collect().await.unwrap()
    });
    block_on(async {
        let dump = user
            .source(&database)
            .begin_dump(&DumpRequest { parallel: 3, ..DumpRequest::default() }, &RunContext::new())
            .await;
        let dump = dump.unwrap();
        let mut stream = dump.open(place(&*dump, "t")).await.unwrap();
        let mut bytes = Vec::new();
        // Twice the one that reads is killed, and what others commit is not seen.
        for _ in 0..2 {
            for _ in 0..8 {
                let Some(Piece::Data(piece)) = stream.next().await.unwrap() else { panic!("too short") };
                bytes.extend_from_slice(&piece);
            }
            database.sql("UPDATE t SET v = 'new'");
            let sql = format!(
                "SELECT id FROM information_schema.processlist WHERE user = '{}' AND command = 'Query'",
                user.1
            );
            for id in server.sql("", &sql).lines() {
                let _ = server.try_sql("", format!("KILL {id}").as_bytes());
            }
        }
        let (rest, end) = stream.collect().await.unwrap();
        bytes.extend_from_slice(&rest);
        assert!(bytes == expected.0, "{} of {} bytes", bytes.len(), expected.0.len());
        assert_eq!(end, expected.1);
        // With the last one the snapshot is gone, and that is an error.
        for id in user.sessions() {
            let _ = server.try_sql("", format!("KILL {id}").as_bytes());
        }
        let error = dump.open(place(&*dump, "u")).await.unwrap().collect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionFailed, "{error}");
        assert!(dump.finish().await.is_err());
    });
}

fn changed(server: &Server) {
    for (change, lock) in [("ALTER TABLE u ADD COLUMN y INT FIRST", true), ("TRUNCATE u", true), ("DROP TABLE u", true)]
    {
        let database = large(server);
        block_on(async {
            let dump = database.source().begin_dump(&DumpRequest::default(), &RunContext::new()).await.unwrap();
            let done =
                database.server.try_sql(&database.name, format!("SET lock_wait_timeout = 1; {change}").as_bytes());
            if done.is_err() {
                // Nobody can change it, where the server has a lock for that.
                assert!(lock && !server.is_mariadb(), "{done:?}");
                dump.abort().await;
                return;
            }
            let error = match dump.open(place(&*dump, "u")).await.unwrap().collect().await {
                // A column that was added at once changes nothing of what the snapshot has.
                Ok((bytes, _)) if change.starts_with("ALTER") => {
                    assert_eq!(bytes, b"1\n");
                    return dump.abort().await;
                }
                read => read.unwrap_err(),
            };
            assert!([ErrorKind::Conflict, ErrorKind::NotFound].contains(&error.kind()), "{change}: {error}");
            dump.abort().await;
        });
    }
}

/// A change that takes no time leaves no trace but the definition.
fn altered_at_once(server: &Server) {
    let database = large(server);
    let (other, name) = (server.clone(), database.name.clone());
    let words: &[&str] = if server.is_mariadb() {
        &["BACKUP STAGE END", "SHOW CREATE TABLE"]
    } else {
        &["log_status", "SHOW CREATE TABLE"]
    };
    let proxy = Proxy::doing(server.port, words, move || {
        let done =
            other.try_sql(&name, b"SET lock_wait_timeout = 1; ALTER TABLE u ADD COLUMN y INT, ALGORITHM = INSTANT");
        assert_eq!(done.is_ok(), other.is_mariadb(), "{done:?}");
    });
    let reading = database.with(|settings| {
        settings.port = proxy.port;
        settings.tls.mode = kronos_connectors::mysql::TlsMode::Disable;
    });
    let done = block_on(async { back_up(&repository().await, &reading).await });
    assert!(proxy.has_begun(), "the moment was missed");
    if server.is_mariadb() {
        assert_eq!(done.unwrap_err().kind(), ErrorKind::Conflict);
    } else {
        // There nobody can alter a table.
        done.unwrap();
    }
}

/// A backup is whole or none, a target old or new, whichever session of them is ended.
fn each_killed(server: &Server) {
    let _users = crate::server::USERS.read().unwrap();
    let (source, user) = (new(server), User::new(server));
    let expected = source.all();
    let repository = block_on(repository());
    block_on(back_up(&repository, &source.source())).unwrap();
    let options = RestoreOptions::new().with_replace();
    let steps: [(&[&'static str], bool); 4] =
        [(&["SAVEPOINT"], true), (&["LOAD DATA"], false), (&["'kronos swap"], false), (&["RENAME TABLE"], false)];
    for (words, is_backup) in steps {
        for n in some_of(&[0, 2, 1, 3], 2) {
            let what = format!("session {n} at {words:?}");
            let target = server.database(OLD);
            let before = target.all();
            let (other, name) = (server.clone(), user.1.clone());
            let proxy = Proxy::doing(server.port, words, move || {
                let sql = format!(
                    "SELECT id FROM information_schema.processlist WHERE user = '{name}' ORDER BY id LIMIT 1 OFFSET {n}"
                );
                let id = other.sql("", &sql);
                if !id.is_empty() {
                    let _ = other.try_sql("", format!("KILL {id}").as_bytes());
                }
            });
            let change = |settings: &mut MysqlSettings| {
                settings.port = proxy.port;
                settings.tls.mode = kronos_connectors::mysql::TlsMode::Disable;
            };
            if is_backup {
                match block_on(back_up(&repository, &user.source_with(&source, change))) {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionFailed, "{what}: {error:?}"),
                }
            } else {
                let done = block_on(bring_back(&repository, &user.source_with(&target, change), &options));
                if let Err(error) = &done {
                    assert_eq!(error.kind(), ErrorKind::ConnectionFailed, "{what}: {error:?}");
                }
                let wanted = if done.is_ok() { &expected } else { &before };
                assert_same(&target.all(), wanted, &what);
                assert_nothing_beside(&target, &what);
            }
            assert!(proxy.has_begun(), "{what}: it was never said");
            drop(proxy);
            user.no_session_is_left(&what);
        }
    }
    let target = server.new_name();
    block_on(bring_back(&repository, &target.source(), &options)).unwrap();
    assert_same(&target.all(), &expected, "the last backup");
}

/// The session that says that a restore is at work is killed while rows come: before tables change their
/// places, another one says so, and nobody takes what was made for remains.
fn stays_alive(server: &Server) {
    let _users = crate::server::USERS.read().unwrap();
    let (source, user) = (new(server), User::new(server));
    let repository = block_on(repository());
    block_on(back_up(&repository, &source.source())).unwrap();
    let (expected, target) = (source.all(), server.database(OLD));
    let (other, name) = (server.clone(), user.1.clone());
    let killing = Proxy::doing(server.port, &["LOAD DATA"], move || {
        let sql = format!("SELECT MIN(id) FROM information_schema.processlist WHERE user = '{name}'");
        other.sql("", &format!("KILL {}", other.sql("", &sql)));
    });
    let (other, beside) = (server.clone(), format!("{}_kronos_", target.name));
    let found = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let finding = found.clone();
    let looking = Proxy::doing(killing.port, &["'kronos swap"], move || {
        let made = other.databases().into_iter().find(|name| name.starts_with(&beside)).unwrap();
        let lock = format!("SELECT IS_USED_LOCK('kronos restore {}') IS NOT NULL", made.replace(&beside, ""));
        *finding.lock().unwrap() = other.sql("", &lock);
    });
    let writing = user.source_with(&target, |settings| {
        settings.port = looking.port;
        settings.tls.mode = kronos_connectors::mysql::TlsMode::Disable;
    });
    block_on(bring_back(&repository, &writing, &RestoreOptions::new().with_replace())).unwrap();
    assert!(killing.has_begun() && looking.has_begun(), "the moment was missed");
    assert_eq!(*found.lock().unwrap(), "1", "the restore counted as dead");
    assert_same(&target.all(), &expected, "a restore that lost its first session");
    assert_nothing_beside(&target, "a restore that lost its first session");
}

/// A backup may go on for hours, and who alters a table that it has read shall not wait for that.
fn free_again(server: &Server) {
    let database = large(server);
    block_on(async {
        let dump = database.source().begin_dump(&DumpRequest::default(), &RunContext::new()).await.unwrap();
        dump.open(place(&*dump, "u")).await.unwrap().collect().await.unwrap();
        let sql = "SET lock_wait_timeout = 1; ALTER TABLE u COMMENT = 'x'";
        let altered = server.try_sql(&database.name, sql.as_bytes());
        // MySQL has a lock that keeps all tables from being altered.
        assert_eq!(altered.is_ok(), server.is_mariadb(), "{altered:?}");
        dump.abort().await;
        database.sql(sql);
    });
}

fn left(server: &Server) {
    let _users = crate::server::USERS.read().unwrap();
    let (database, user) = (large(server), User::new(server));
    for how in ["abort", "drop", "cancel"] {
        block_on(async {
            let run = RunContext::new();
            let dump = user.source(&database).begin_dump(&DumpRequest::default(), &run).await.unwrap();
            let mut stream = dump.open(place(&*dump, "t")).await.unwrap();
            stream.next().await.unwrap();
            match how {
                "abort" => dump.abort().await,
                "drop" => drop(dump),
                _ => {
                    run.cancel.cancel();
                    assert_eq!(stream.collect().await.unwrap_err().kind(), ErrorKind::Cancelled);
                    assert!(dump.finish().await.is_err());
                    return;
                }
            }
            drop(stream);
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
        user.no_session_is_left(how);
        // Nothing is locked any more.
        database.sql("SET lock_wait_timeout = 1; ALTER TABLE t COMMENT = 'x'; INSERT INTO u VALUES (2)");
    }
}

/// A process that ends at any moment: nothing runs after it, neither what undoes nor what tells.
fn killed(server: &Server) {
    let source = new(server);
    let repository = block_on(repository());
    block_on(back_up(&repository, &source.source())).unwrap();
    let expected = source.all();
    let (mut finished, mut broken) = (0, 0);
    // As long as it takes when nobody kills it.
    let begun = std::time::Instant::now();
    let target = server.database(OLD);
    block_on(bring_back(&repository, &target.source(), &RestoreOptions::new().with_replace())).unwrap();
    let whole = begun.elapsed();
    for n in 1..8 {
        let target = server.database(OLD);
        let tables = target.sql("SHOW TABLES");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let moment = whole * n / 6;
        let options = RestoreOptions::new().with_replace();
        let done = runtime.block_on(async {
            tokio::time::timeout(moment, bring_back(&repository, &target.source(), &options)).await
        });
        runtime.shutdown_timeout(Duration::ZERO);
        // The server has seen that nobody is there any more.
        std::thread::sleep(Duration::from_millis(150));
        match done {
            Ok(done) => {
                done.unwrap();
                finished += 1;
            }
            Err(_) if target.sql("SHOW TABLES") != tables => broken += 1,
            Err(_) => {}
        }
        // Who may replace nothing changes nothing; who may, settles it first.
        let refused = block_on(bring_back(&repository, &target.source(), &RestoreOptions::new())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists, "{refused}");
        block_on(bring_back(&repository, &target.source(), &options)).unwrap();
        assert_same(&target.all(), &expected, "after a restore that was killed");
        assert_nothing_beside(&target, "after a restore that was killed");
        if finished > 2 {
            break;
        }
    }
    assert!(finished > 0 || broken > 0, "nothing was seen of the restores that were killed");
}

/// Something that the target's user cannot make, at the very end.
fn undone(server: &Server) {
    let source = server.database("CREATE TABLE t(id INT PRIMARY KEY); CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1; CREATE VIEW v AS SELECT f()");
    let _users = crate::server::USERS.read().unwrap();
    let user = fresh("norights");
    server.sql("", &format!("CREATE USER {user}@'%' IDENTIFIED BY 'x'"));
    let target = server.database(OLD);
    let before = target.all();
    let rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, TRIGGER, EVENT, SHOW VIEW, CREATE VIEW";
    server.sql("", &format!("GRANT {rights} ON *.* TO {user}@'%'"));
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        let few = target.with(|settings| {
            settings.user.clone_from(&user);
            settings.password = Some(kronos_core::Secret::new("x"));
        });
        let mut options = RestoreOptions::new().with_replace();
        (options.owners, options.privileges) = (false, false);
        let error = bring_back(&repository, &few, &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    });
    let now = target.all();
    server.sql("", &format!("DROP USER {user}@'%'"));
    assert_same(&now, &before, "a target whose restore failed at its end");
}
