//! Servers with settings of their own: one that only reads, one that takes no table without a primary
//! key; logins by `ed25519`; users who are loaded on another server by its client.

use std::process::Stdio;

use kronos_connectors::mysql::{Method, MysqlSettings, MysqlSource};
use kronos_core::{BackupOptions, Connector as _, ErrorKind, RestoreOptions, RunContext, Secret, backup};
use libtest_mimic::{Failed, Trial};

use crate::fidelity::{OTHER, accounts, drop_accounts, nasty};
use crate::fixtures::assert_nothing_beside;
use crate::instance::Instance;
use crate::server::{
    Database, Server, USERS, assert_same, back_up, block_on, bring_back, fresh, is_required, on, on_each, quoted,
    repository,
};

pub(crate) fn trials() -> Vec<Trial> {
    [
        ed25519("mariadb"),
        ed25519("mariadb11"),
        on_each("a_server_that_only_reads", read_only),
        on_each("a_server_that_wants_keys", wants_keys),
        on_each("users_are_loaded_by_the_client_of_another_server", loaded),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn as_user(database: &Database, name: &str, change: impl FnOnce(&mut MysqlSettings)) -> MysqlSource {
    database.with(|settings| {
        name.clone_into(&mut settings.user);
        settings.password = Some(Secret::new("old pass"));
        settings.tools = vec![database.server.bin.clone().into()];
        change(settings);
    })
}

/// Where the server's package came without that login, the test says so.
fn ed25519(server: &'static str) -> Vec<Trial> {
    let name = "a_login_by_ed25519";
    let Ok(found) = Server::named(server) else { return vec![on(server, name, log_in)] };
    let active =
        "SELECT COUNT(*) FROM information_schema.plugins WHERE plugin_name = 'ed25519' AND plugin_status = 'ACTIVE'";
    if found.try_sql("", active.as_bytes()).is_ok_and(|count| count == "1") {
        return vec![on(server, name, log_in)];
    }
    match found.try_sql("", b"INSTALL SONAME 'auth_ed25519'") {
        Ok(_) => vec![on(server, name, log_in)],
        Err(reason) if is_required(server) => {
            vec![Trial::test(format!("{server}::{name}"), move || Err(Failed::from(reason)))]
        }
        Err(reason) => {
            vec![Trial::test(format!("{server}::{name} ({})", reason.trim()), || Ok(())).with_ignored_flag(true)]
        }
    }
}

fn log_in(server: &Server) {
    let _users = USERS.read().unwrap();
    let user = fresh("ed");
    let source = server.database("CREATE TABLE t(x INT PRIMARY KEY); INSERT INTO t VALUES (5)");
    server.sql(
        "",
        &format!(
            "CREATE USER {user}@'%' IDENTIFIED VIA ed25519 USING PASSWORD('old pass'); GRANT ALL ON *.* TO {user}@'%'"
        ),
    );
    for method in [Method::Native, Method::Tool] {
        let of = |settings: &mut MysqlSettings| settings.method = method;
        let target = server.new_name();
        block_on(async {
            let repository = repository().await;
            back_up(&repository, &as_user(&source, &user, of)).await.unwrap();
            bring_back(&repository, &as_user(&target, &user, of), &RestoreOptions::new()).await.unwrap();
        });
        assert_eq!(target.sql("SELECT x FROM t"), "5", "{method:?}");
    }
    let wrong = as_user(&source, &user, |settings| settings.password = Some(Secret::new("wrong")));
    assert_eq!(block_on(wrong.databases()).unwrap_err().kind(), ErrorKind::Authentication);
    server.sql("", &format!("DROP USER {user}@'%'"));
}

/// As a replica does: backups work, and with a position. A restore is refused, and changes nothing.
fn read_only(server: &Server) {
    let instance = Instance::new(server, &["--log-bin=binlog", "--binlog-format=ROW"]);
    let server = &instance.server;
    let source = server.database(
        "CREATE TABLE t(id INT PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'x'); CREATE VIEW v AS SELECT v FROM t; \
         CREATE PROCEDURE p() SELECT 1",
    );
    // Who has all rights may write nevertheless, unless it is `super_read_only`.
    let rights = "SELECT, SHOW VIEW, TRIGGER, EVENT, RELOAD, PROCESS, INSERT, CREATE, DROP, ALTER, INDEX, REFERENCES, \
        CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE";
    let more = if server.is_mariadb() { "BINLOG MONITOR, BINLOG ADMIN" } else { "REPLICATION CLIENT, BACKUP_ADMIN" };
    server.sql(
        "",
        &format!("CREATE USER reader@'%' IDENTIFIED BY 'old pass'; GRANT {rights}, {more} ON *.* TO reader@'%'"),
    );
    let expected = source.all();
    let (on, off) = if server.is_mariadb() {
        ("SET GLOBAL read_only = ON", "SET GLOBAL read_only = OFF")
    } else {
        ("SET GLOBAL super_read_only = ON", "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF")
    };
    for method in [Method::Native, Method::Tool] {
        server.sql("", on);
        let of = |settings: &mut MysqlSettings| settings.method = method;
        block_on(async {
            let repository = repository().await;
            let backup = back_up(&repository, &as_user(&source, "reader", of)).await.unwrap();
            assert!(backup.position.is_some(), "{method:?}: {backup:?}");
            let target = server.new_name();
            let to = as_user(&target, "reader", of);
            let refused = bring_back(&repository, &to, &RestoreOptions::new()).await.unwrap_err();
            assert!(
                refused.to_string().contains("read-only") || refused.to_string().contains("read_only"),
                "{refused:?}"
            );
            assert!(!server.databases().contains(&target.name), "{method:?}");
            let over = as_user(&source, "reader", of);
            let refused = bring_back(&repository, &over, &RestoreOptions::new().with_replace()).await.unwrap_err();
            assert!(
                refused.to_string().contains("read-only") || refused.to_string().contains("read_only"),
                "{refused:?}"
            );
            assert_same(&source.all(), &expected, "a server that only reads");
            assert_nothing_beside(&source, "a server that only reads");
            server.sql("", off);
            let to = target.with(|settings| settings.tools = vec![server.bin.clone().into()]);
            bring_back(&repository, &to, &RestoreOptions::new()).await.unwrap();
            assert_same(&target.all(), &expected, &format!("{method:?}"));
        });
    }
}

/// Who may do so sets it off for his sessions. Who may not is told so before anything is made.
fn wants_keys(server: &Server) {
    let setting = if server.is_mariadb() { "innodb_force_primary_key" } else { "sql_require_primary_key" };
    let instance = Instance::new(server, &[&format!("--{}=ON", setting.replace('_', "-"))]);
    let (plain, server) = (server, &instance.server);
    let rights = "SELECT, SHOW VIEW, TRIGGER, EVENT, RELOAD, PROCESS, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, \
        REFERENCES, CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, CREATE USER";
    server.sql("", &format!("CREATE USER few@'%' IDENTIFIED BY 'old pass'; GRANT {rights} ON *.* TO few@'%'"));
    let with_key = plain.database("CREATE TABLE t(id INT PRIMARY KEY); INSERT INTO t VALUES (1)");
    let without = plain.database(
        "CREATE TABLE t(id INT PRIMARY KEY); CREATE TABLE u(x INT, UNIQUE KEY (x)); INSERT INTO u VALUES (1)",
    );
    for method in [Method::Native, Method::Tool] {
        let of = |settings: &mut MysqlSettings| {
            settings.method = method;
            settings.tools = vec![plain.bin.clone().into()];
        };
        let repository_of = |source: &Database| {
            block_on(async {
                let repository = repository().await;
                back_up(&repository, &source.with(of)).await.unwrap();
                repository
            })
        };
        let mut options = RestoreOptions::new();
        (options.owners, options.privileges) = (false, false);
        let target = server.new_name();
        block_on(bring_back(&repository_of(&with_key), &as_user(&target, "few", of), &options)).unwrap();
        assert_same(&target.all(), &with_key.all(), "tables with keys");
        let before = target.all();
        let repository = repository_of(&without);
        options.replace = true;
        let error = block_on(bring_back(&repository, &as_user(&target, "few", of), &options)).unwrap_err();
        let shown = error.to_string();
        if method == Method::Native {
            assert!(error.kind() == ErrorKind::PermissionDenied && error.context("table").is_some(), "{error:?}");
            assert!(error.context("hint").is_some_and(|hint| hint.contains(setting)), "{shown}");
        } else {
            assert!(error.kind() == ErrorKind::ToolFailed && shown.contains("rimary"), "{shown}");
        }
        assert_same(&target.all(), &before, "refused");
        assert_nothing_beside(&target, "refused");
        let may = block_on(bring_back(&repository, &target.with(of), &options));
        if server.is_mariadb() {
            // It is for the whole server, and nobody can do without.
            may.unwrap_err();
            assert_same(&target.all(), &before, "refused too");
        } else {
            may.unwrap();
            assert_same(&target.all(), &without.all(), "by one who may");
        }
    }
}

/// The files of an export make the same users with the same rights, whoever of them is there already.
fn loaded(server: &Server) {
    let _users = USERS.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let nasty = nasty(server);
    let expected = accounts(server);
    let place = tempfile::tempdir().unwrap();
    block_on(async {
        let repository = repository().await;
        let mut options = BackupOptions::new();
        let others = server.databases().into_iter().filter(|name| name != "nasty" && !name.starts_with("-na"));
        options.exclude = others.chain(["kt_*".to_owned()]).collect();
        backup(&repository, &server.source([]), &options, &RunContext::new()).await.unwrap();
        let mut to = MysqlSettings::new("", "");
        to.export = Some(place.path().join("out"));
        bring_back(&repository, &MysqlSource::new(to).unwrap(), &RestoreOptions::new()).await.unwrap();
    });
    let files: Vec<_> = std::fs::read_dir(place.path().join("out")).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    let options: &[&str] = if server.is_mariadb() { &["--plugin-load-add=auth_ed25519"] } else { &[] };
    let instance = Instance::new(server, options);
    let load = |database: &str, file: &std::path::Path| {
        let mut client = instance.server.program("client");
        client.args(["--binary-mode", "--default-character-set=utf8mb4"]);
        if !server.is_mariadb() {
            // There only he who comes by the socket may hand on everything.
            client.args(["--host=localhost", "--protocol=socket"]).arg(format!("--socket={}", instance.socket()));
        }
        if !database.is_empty() {
            client.arg(format!("--database={database}"));
        }
        let done = client.stdin(Stdio::from(std::fs::File::open(file).unwrap())).output().unwrap();
        assert!(done.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&done.stderr));
    };
    for database in [&nasty.main.name, OTHER] {
        let (_, options) = server
            .sql("", &format!("SHOW CREATE DATABASE {}", quoted(database)))
            .split_once('\t')
            .map(|(name, create)| (name.to_owned(), create.replace("\\\\", "\\")))
            .unwrap();
        instance.server.sql("", &options);
        let file = files.iter().find(|file| {
            let is_main = file.to_string_lossy().starts_with("nasty");
            file.to_string_lossy() != "globals.sql" && is_main == (database == "nasty")
        });
        load(database, &place.path().join("out").join(file.unwrap()));
    }
    load("", &place.path().join("out/globals.sql"));
    assert_same(&accounts(&instance.server), &expected, "users on another server");
    drop_accounts(server);
}
