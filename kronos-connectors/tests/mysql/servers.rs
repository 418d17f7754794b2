//! Whole servers: one that is killed or restarted in the middle, one whose disk is full, one of other
//! habits, a second one.

use std::time::Duration;

use kronos_connectors::mysql::{Method, MysqlSource};
use kronos_core::{ErrorKind, RestoreOptions, RunContext, list};
use libtest_mimic::Trial;
use mysql_async::prelude::Queryable as _;

use crate::fixtures::{OLD, assert_nothing_beside, large, new};
use crate::instance::Instance;
use crate::network::{some_of, through};
use crate::proxy::{Proxy, Trouble};
use crate::server::{Server, assert_same, back_up, block_on, bring_back, on_each, repository};
use crate::small::{Small, mounting};

pub(crate) fn trials() -> Vec<Trial> {
    [
        mounting(on_each("a_server_whose_disk_is_full", full_disk)),
        on_each("a_server_that_ends_during_a_backup", ended_backups),
        on_each("a_server_that_is_killed_during_a_restore", killed_restores),
        on_each("a_server_that_numbers_sessions_again", numbers_again),
        on_each("a_server_that_writes_all_names_small", small_names),
        on_each("users_log_in_on_a_second_server", second),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const SUM: &str = "SELECT COUNT(*), SUM(CRC32(v)), SUM(id) FROM t";

/// Nothing is committed that is not whole, and the next backup works.
fn ended_backups(server: &Server) {
    let mut instance = Instance::new(server, &["--log-bin=binlog"]);
    let server = instance.server.clone();
    let source = large(&server);
    let expected = source.sql(SUM);
    block_on(async {
        let (repository, run) = (repository().await, RunContext::new());
        let mut committed = 0;
        for (n, pause) in some_of(&[0, 30, 80, 150, 250, 400], 4).iter().copied().enumerate() {
            let reading = source.with(|settings| {
                settings.tools = vec![server.bin.clone().into()];
                settings.method = if n % 3 == 2 { Method::Tool } else { Method::Native };
                settings.connect_timeout = Duration::from_secs(1);
            });
            let backup = async { back_up(&repository, &reading).await };
            let restart = async {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                tokio::task::block_in_place(|| {
                    if n % 2 == 0 {
                        instance.kill();
                    } else {
                        instance.stop();
                    }
                    instance.start();
                });
            };
            match tokio::join!(backup, restart).0 {
                Ok(_) => committed += 1,
                Err(error) => {
                    let kinds = [ErrorKind::ConnectionFailed, ErrorKind::ToolFailed, ErrorKind::Timeout];
                    assert!(kinds.contains(&error.kind()), "{n}, {pause} ms: {error:?}");
                }
            }
            assert_eq!(list(&repository, None, &run).await.unwrap().backups.len(), committed, "{n}, {pause} ms");
        }
        back_up(&repository, &source.source()).await.unwrap();
        for backup in list(&repository, None, &run).await.unwrap().backups {
            let target = server.new_name();
            let found = kronos_core::find_backup(&repository, &backup.id.to_string(), &run).await.unwrap();
            let with_tools = target.with(|settings| settings.tools = vec![server.bin.clone().into()]);
            kronos_core::restore(&repository, &found, &with_tools, &RestoreOptions::new(), &run).await.unwrap();
            assert_eq!(target.sql(SUM), expected);
        }
    });
}

/// A server that has restarted gives the numbers of our sessions to others: what we end is our own.
fn numbers_again(server: &Server) {
    let mut instance = Instance::new(server, &[]);
    let server = instance.server.clone();
    let source = large(&server);
    let expected = source.sql(SUM);
    block_on(async {
        let repository = repository().await;
        let proxy = Proxy::after_bytes(server.port, Trouble::Silent, 5_000_000, Duration::ZERO);
        let reading = source.with(through(&proxy));
        let others = async {
            while !proxy.has_begun() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let ours = server.sql("", "SELECT MAX(id) FROM information_schema.processlist").trim().parse().unwrap();
            tokio::task::block_in_place(|| {
                instance.kill();
                instance.start();
            });
            let mut others = Vec::new();
            while others.last().is_none_or(|last: &mysql_async::Conn| last.id() < ours) {
                others.push(mysql_async::Conn::new(options(&server)).await.unwrap());
            }
            others
        };
        let (made, others) = tokio::join!(back_up(&repository, &reading), others);
        // Its snapshot is gone with the server.
        assert!(made.is_err(), "{made:?}");
        assert!(others.len() > 5, "no number came again");
        for mut other in others {
            let alive: Option<u8> = other.query_first("SELECT 1").await.unwrap();
            assert_eq!(alive, Some(1), "the session {} was ended", other.id());
        }
        back_up(&repository, &source.source()).await.unwrap();
        let target = server.new_name();
        bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        assert_eq!(target.sql(SUM), expected);
    });
}

fn options(server: &Server) -> mysql_async::OptsBuilder {
    mysql_async::OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(server.port)
        .user(Some("root"))
        .pass(Some(server.password.clone()))
        .prefer_socket(false)
}

/// A restore that finds no room says so; the target is as it was, and once there is room it works.
fn full_disk(server: &Server) {
    let megabytes = if server.is_mariadb() { 80 } else { 170 };
    let rows = "INSERT INTO t WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 200) \
        SELECT n + COALESCE((SELECT MAX(id) FROM t), 0), REPEAT(SHA2(CONCAT(n, RAND()), 512), 800) FROM s;";
    let source = server.database(&format!(
        "CREATE TABLE t(id INT PRIMARY KEY, x LONGTEXT); {} CREATE PROCEDURE p() SELECT 'new'",
        rows.repeat(megabytes / 20)
    ));
    let repository = block_on(repository());
    block_on(back_up(&repository, &source.source())).unwrap();
    let home = tempfile::Builder::new().prefix("kronos-instance-").tempdir().unwrap();
    let small = Small::mount(home.path().join("data"), u32::try_from(megabytes).unwrap()).unwrap();
    let data = small.at.clone();
    let options: &[&str] = if server.is_mariadb() {
        &["--innodb-log-file-size=8M"]
    } else {
        &["--innodb-redo-log-capacity=8M", "--skip-log-bin"]
    };
    let instance = Instance::with_data(server, home, &data, options);
    let target = instance.server.database(OLD);
    let before = target.all();
    let options = RestoreOptions::new().with_replace();
    let full = block_on(bring_back(&repository, &target.source(), &options)).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull, "{full:?}");
    assert_same(&target.all(), &before, "a target without room");
    assert_nothing_beside(&target, "a target without room");
    small.grow(600);
    block_on(bring_back(&repository, &target.source(), &options)).unwrap();
    assert_same(&target.all(), &source.all(), "once there is room");
    drop(target);
    // Before what it lies on is unmounted.
    drop(instance);
}

/// The server falls at any moment of a restore, also while tables change their places: the next
/// restore finishes that, or undoes it.
fn killed_restores(server: &Server) {
    let mut instance = Instance::new(server, &["--log-bin=binlog"]);
    let server = instance.server.clone();
    let source = new(&server);
    let expected = source.all();
    let repository = block_on(repository());
    block_on(back_up(&repository, &source.source())).unwrap();
    let options = RestoreOptions::new().with_replace();
    let (mut old, mut finished) = (0, 0);
    let words: [&[&str]; 9] = [
        &["RENAME TABLE"],
        &["RENAME TABLE", "CREATE DEFINER"],
        &["REPLACE INTO", "REPLACE INTO"],
        &["RENAME TABLE", "DROP DATABASE"],
        &["ADD KEY"],
        &["CREATE TABLE"],
        &["'kronos swap"],
        &["DROP PROCEDURE"],
        &["RENAME TABLE", "REPLACE INTO"],
    ];
    let words = some_of(&words, 5);
    for words in words.iter().copied() {
        let target = server.database(OLD);
        let before = target.all();
        let proxy = Proxy::after_words(server.port, Trouble::Nothing, words);
        let writing = target.with(|settings| {
            settings.port = proxy.port;
            settings.tls.mode = kronos_connectors::mysql::TlsMode::Disable;
            settings.connect_timeout = Duration::from_secs(1);
        });
        let (done, ()) = block_on(async {
            let killing = async {
                while !proxy.has_begun() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                // While it is at work on it, or just after.
                tokio::task::block_in_place(|| instance.kill());
            };
            tokio::join!(bring_back(&repository, &writing, &options), killing)
        });
        drop(proxy);
        instance.start();
        let what = format!("killed at {words:?}: {:?}", done.as_ref().err());
        match done {
            Ok(_) => {
                finished += 1;
                assert_same(&target.all(), &expected, &what);
            }
            Err(_) if target.all() == before => old += 1,
            Err(_) => {}
        }
        // Who may replace nothing changes nothing; who may, settles it first.
        let refused = block_on(bring_back(&repository, &target.source(), &RestoreOptions::new())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists, "{what}: {refused}");
        block_on(bring_back(&repository, &target.source(), &options)).unwrap_or_else(|e| panic!("{what}: {e:?}"));
        assert_same(&target.all(), &expected, &what);
        assert_nothing_beside(&target, &what);
    }
    assert!(old > 0, "{old} old, {finished} finished");
}

/// A server that keeps every name in small letters, as those on Windows do.
fn small_names(server: &Server) {
    let instance = Instance::new(server, &["--lower-case-table-names=1"]);
    let source = instance.server.database_named(
        "Shop",
        "",
        "CREATE TABLE Orders(Id INT PRIMARY KEY, V TEXT); INSERT INTO Orders VALUES (1, 'x'); CREATE VIEW Big AS SELECT Id FROM Orders; \
         CREATE TABLE Parts(Id INT PRIMARY KEY, O INT, FOREIGN KEY (O) REFERENCES Orders(Id)); INSERT INTO Parts VALUES (1, 1); \
         CREATE TRIGGER Tr BEFORE INSERT ON Orders FOR EACH ROW SET NEW.V = 'y'",
    );
    let expected = instance.server.dumped("shop");
    block_on(async {
        // By either name.
        for name in ["shop", "Shop"] {
            let repository = repository().await;
            back_up(&repository, &instance.server.source([name])).await.unwrap();
            let target = instance.server.none("Back");
            bring_back(&repository, &target.source(), &RestoreOptions::new().with_replace()).await.unwrap();
            assert_same(&instance.server.dumped("back"), &expected, name);
            let refused = bring_back(&repository, &instance.server.source(["SHOP"]), &RestoreOptions::new()).await;
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::AlreadyExists);
        }
        assert_nothing_beside(&instance.server.none("back"), "small names");
    });
    drop(source);
}

/// What comes back on another machine can be used with the old passwords.
fn second(server: &Server) {
    let _users = crate::server::USERS.read().unwrap();
    let user = crate::server::fresh("second");
    let source = server.database("CREATE TABLE t(x INT); INSERT INTO t VALUES (5)");
    let name = &source.name;
    server
        .sql("", &format!("CREATE USER {user}@'%' IDENTIFIED BY 'old pass'; GRANT SELECT ON `{name}`.* TO {user}@'%'"));
    let instance = Instance::new(server, &[]);
    let log_in = |of: &Server| {
        let mut settings = of.settings([name.as_str()]);
        settings.user.clone_from(&user);
        settings.password = Some(kronos_core::Secret::new("old pass"));
        MysqlSource::new(settings).unwrap()
    };
    block_on(async {
        use kronos_core::Connector;
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        bring_back(&repository, &instance.server.source([name.as_str()]), &RestoreOptions::new()).await.unwrap();
        let report = log_in(&instance.server).test_connection().await.unwrap();
        assert_eq!(report.status, kronos_core::ConnectionStatus::Connected, "{report:?}");
        assert_eq!(log_in(&instance.server).databases().await.unwrap().len(), 1);
    });
    server.sql("", &format!("DROP USER {user}@'%'"));
}
