//! `method = "tool"`: what the servers' own programs write comes back, whatever a database is called;
//! the password is seen by nobody; a program that fails makes no backup.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use kronos_connectors::mysql::{Method, MysqlSettings, MysqlSource, TlsMode};
use kronos_core::{ErrorKind, RestoreOptions};
use libtest_mimic::Trial;

use crate::server::{
    Database, Server, assert_same, back_up, block_on, bring_back, fresh, on_each, quoted, repository, variable,
};

pub(crate) fn trials() -> Vec<Trial> {
    [
        on_each("tool_brings_everything_back", everything),
        on_each("tool_and_native_bear_every_name", names),
        on_each("tool_takes_several_databases_as_one", several),
        on_each("tool_replaces_and_renames", replace),
        on_each("tool_shows_its_password_to_nobody", secrets),
        on_each("tool_that_fails_makes_no_backup", failures),
        on_each("tool_is_of_the_servers_family", family),
        on_each("tool_asks_who_the_server_is", tls),
        on_each("tool_needs_few_rights", rights),
        on_each("tool_and_native_exports_are_read_by_the_client", exports),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn settings<const N: usize>(server: &Server, databases: [&str; N]) -> MysqlSettings {
    let mut settings = server.settings(databases);
    settings.method = Method::Tool;
    settings.tools = vec![server.bin.clone().into()];
    settings
}

fn tool(database: &Database) -> MysqlSource {
    MysqlSource::new(settings(&database.server, [&database.name])).unwrap()
}

/// Some of every kind of object, as far as the programs can write and read it.
fn rich(server: &Server) -> Database {
    let own = if server.is_mariadb() { include_str!("rich_mariadb.sql") } else { include_str!("rich_mysql.sql") };
    let sql = format!("{}\n{own}", include_str!("rich.sql"));
    server.database_named(&fresh("rich"), "CHARACTER SET latin1 COLLATE latin1_german1_ci", &sql)
}

fn everything(server: &Server) {
    let (source, target) = (rich(server), server.new_name());
    // What the programs themselves lose.
    let lossless = |dump: &str| {
        dump.lines()
            .filter(|line| !line.contains("float") && !line.contains("negative_zero"))
            .flat_map(|line| {
                [
                    line, "
",
                ]
            })
            .collect::<String>()
    };
    let before = source.all();
    block_on(async {
        let repository = repository().await;
        let backup = back_up(&repository, &tool(&source)).await.unwrap();
        assert!(backup.position.as_deref().is_some_and(|position| position.contains("binlog.")), "{backup:?}");
        bring_back(&repository, &tool(&target), &RestoreOptions::new()).await.unwrap();
        assert_same(&lossless(&target.all()), &lossless(&before), server.name);
    });
    assert_same(&source.all(), &before, "the source");
}

const NAMES: [&str; 11] =
    ["-x", "a b", "$(x)", "a'b", "a`b", "%", "ünï✓", "--help", "a\\b;\"c", "x/../y", "-- # DELIMITER //"];

fn names(server: &Server) {
    for name in NAMES {
        let source = server.database_named(&format!("{name}{}", fresh("n")), "", "");
        let t = "CREATE TABLE `-- t;` (`i``'` int PRIMARY KEY, x text); INSERT INTO `-- t;` VALUES (1, 'it''s; -- \\\\'); \
            CREATE VIEW v AS SELECT x FROM `-- t;`;\nDELIMITER ;;\nCREATE PROCEDURE p() BEGIN SELECT ';;', \"'\"; /* USE `mysql`; ' */ END;;\nDELIMITER ;\n";
        source.sql(t);
        let before = source.all();
        for method in [Method::Tool, Method::Native] {
            block_on(async {
                let repository = repository().await;
                let source = source.with(|settings| {
                    settings.method = method;
                    settings.tools = vec![server.bin.clone().into()];
                });
                back_up(&repository, &source).await.unwrap();
                let target = server.none(&format!("{name}{}", fresh("to")));
                bring_back(&repository, &tool(&target), &RestoreOptions::new()).await.unwrap();
                let lines = |dump: &str| {
                    dump.lines()
                        .skip(1)
                        .flat_map(|line| {
                            [
                                line, "
",
                            ]
                        })
                        .collect::<String>()
                };
                assert_same(&lines(&target.all()), &lines(&before), name);
            });
        }
    }
}

fn several(server: &Server) {
    let (one, two) = (
        server.database_named(&fresh("a`b -"), "CHARACTER SET latin1", ""),
        server.database_named(&fresh("c"), "", ""),
    );
    one.sql(
        "CREATE TABLE t(i int PRIMARY KEY); INSERT INTO t VALUES (1), (2);\nDELIMITER ;;\nCREATE PROCEDURE p()\nBEGIN\n SELECT 'x\n;;\nDELIMITER ;\n\
         USE `mysql`;\n', 1;\nEND;;\nCREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @a = 1;;\nDELIMITER ;\n",
    );
    two.sql(&format!(
        "CREATE TABLE t(x text); INSERT INTO t VALUES ('USE `x`;'); CREATE VIEW v AS SELECT i FROM {}.t",
        quoted(&one.name)
    ));
    let before = [one.all(), two.all()];
    let both = MysqlSource::new(settings(server, [&one.name, &two.name])).unwrap();
    block_on(async {
        let repository = repository().await;
        let backup = back_up(&repository, &both).await.unwrap();
        assert_eq!(backup.streams, 2);
        one.sql("DROP TABLE t; CREATE TABLE other(i int)");
        two.sql("INSERT INTO t VALUES ('new')");
        let mut options = RestoreOptions::new();
        options.replace = true;
        // One of them under another name, the other one stays as it is.
        options.only = vec![two.name.clone()];
        let target = server.new_name();
        bring_back(&repository, &tool(&target), &options).await.unwrap();
        assert_eq!(target.sql("SELECT count(*) FROM t"), "1");
        assert_eq!(two.sql("SELECT count(*) FROM t"), "2");
        options.only.clear();
        bring_back(&repository, &both, &options).await.unwrap();
        assert_same(&one.all(), &before[0], "the first");
        assert_same(&two.all(), &before[1], "the second");
    });
}

fn replace(server: &Server) {
    let source = server.database(
        "CREATE TABLE t(i int PRIMARY KEY); INSERT INTO t VALUES (1), (2); CREATE TABLE gone(i int); CREATE VIEW v AS SELECT * FROM t; \
         CREATE EVENT e ON SCHEDULE EVERY 1 SECOND DO INSERT INTO t VALUES (3)",
    );
    let before = source.all();
    let mut options = RestoreOptions::new();
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &tool(&source)).await.unwrap();
        source.sql("DROP TABLE gone; DELETE FROM t; CREATE TABLE new(i int); DROP VIEW v");
        let there = bring_back(&repository, &tool(&source), &options).await.unwrap_err();
        assert_eq!(there.kind(), ErrorKind::AlreadyExists);
        options.replace = true;
        bring_back(&repository, &tool(&source), &options).await.unwrap();
        assert_same(&source.all(), &before, "replaced");
    });
    assert!(!server.databases().iter().any(|name| name.starts_with(&format!("{}_kronos", source.name))));
}

/// What every process of the machine may look at.
fn secrets(server: &Server) {
    let source = server.database("CREATE TABLE t(i int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let place = tempfile::tempdir().unwrap();
    let names = if server.is_mariadb() { ["mariadb-dump", "mariadb"] } else { ["mysqldump", "mysql"] };
    for name in names {
        let look = "cat /proc/$$/cmdline /proc/$$/environ > \"$0.seen\"; exec REAL \"$@\"";
        script(server, place.path(), name, look);
    }
    let with = |database: &Database| {
        database.with(|settings| {
            settings.method = Method::Tool;
            settings.tools = vec![place.path().to_owned()];
        })
    };
    let target = server.new_name();
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &with(&source)).await.unwrap();
        bring_back(&repository, &with(&target), &RestoreOptions::new()).await.unwrap();
    });
    for name in names {
        let seen =
            String::from_utf8_lossy(&std::fs::read(place.path().join(format!("{name}.seen"))).unwrap()).into_owned();
        // The tests themselves are told it by the environment.
        let seen: Vec<&str> = seen.split('\0').filter(|part| !part.starts_with("KRONOS_TEST_")).collect();
        assert!(seen.iter().any(|part| part.starts_with("--defaults-file=")), "{seen:?}");
        assert!(
            !seen
                .iter()
                .any(|part| part.contains(&server.password) || part.contains("secret") || part.contains("MYSQL_PWD")),
            "{seen:?}"
        );
    }
}

/// A program that writes what it is told to, then ends as it is told to.
fn dumping(server: &Server, directory: &Path, then: &str) {
    script(server, directory, if server.is_mariadb() { "mariadb-dump" } else { "mysqldump" }, then);
}

fn script(server: &Server, directory: &Path, name: &str, then: &str) {
    let real = format!("{}/{name}", server.bin);
    let text = format!("#!/bin/sh\ncase \"$*\" in *--version*|*--help*) exec {real} \"$@\";; esac\n{then}\n")
        .replace("REAL", &real);
    std::fs::write(directory.join(name), text).unwrap();
    std::fs::set_permissions(directory.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn failures(server: &Server) {
    let source = server.database("CREATE TABLE t(i int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let place = tempfile::tempdir().unwrap();
    let from = |password: &str| {
        source.with(|settings| {
            settings.method = Method::Tool;
            settings.tools = vec![place.path().to_owned()];
            settings.password = Some(kronos_core::Secret::new(password));
        })
    };
    let cases = [
        ("REAL \"$@\"; echo \"Error: kronos 'secret' is wrong\" >&2; exit 3", "…"),
        ("REAL \"$@\" | head -c 1200", ""),
        ("REAL \"$@\" | sed '$d' | sed 's/-- Dump completed//'", "no end"),
        ("REAL \"$@\" | sed 's/^INSERT/GRANT/'", "does not know"),
        ("exit 0", ""),
        ("kill -9 $$", ""),
    ];
    for (then, said) in cases {
        dumping(server, place.path(), then);
        block_on(async {
            let repository = repository().await;
            let error = back_up(&repository, &from(&server.password)).await.unwrap_err();
            let shown = error.to_string();
            assert!(shown.contains(said) && !shown.contains("secret"), "{then}: {shown}");
            let backups = kronos_core::find_backup(&repository, "latest", &kronos_core::RunContext::new()).await;
            assert!(backups.is_err(), "{then}");
        });
    }
    // One that is not waited for is killed.
    dumping(server, place.path(), "echo $$ > \"${0%/*}/pid\"; exec sleep 600");
    block_on(async {
        let repository = repository().await;
        let (source, run) = (from(&server.password), kronos_core::RunContext::new());
        let options = kronos_core::BackupOptions::new();
        let cancel = run.cancel.clone();
        let pid = place.path().join("pid");
        let stopping = async {
            while !std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            cancel.cancel();
        };
        let (done, ()) = tokio::join!(kronos_core::backup(&repository, &source, &options, &run), stopping);
        assert_eq!(done.unwrap_err().kind(), ErrorKind::Cancelled);
        let pid = std::fs::read_to_string(&pid).unwrap();
        let ended = |_| {
            std::thread::sleep(Duration::from_millis(50));
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        assert!((0..100).any(ended), "the program still runs");
    });
    // A restore whose program fails leaves nothing.
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &tool(&source)).await.unwrap();
        let client = if server.is_mariadb() { "mariadb" } else { "mysql" };
        script(server, place.path(), client, "head -c 900 | REAL \"$@\"; exit 7");
        let target = server.new_name();
        let to = target.with(|settings| settings.tools = vec![place.path().to_owned()]);
        let error = bring_back(&repository, &to, &RestoreOptions::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ToolFailed, "{error}");
        let left: Vec<String> = server.databases().into_iter().filter(|name| name.starts_with(&target.name)).collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

fn family(server: &Server) {
    let source = server.database("CREATE TABLE t(i int)");
    // The other family's program under this one's name.
    let other = if server.is_mariadb() { "mysql" } else { "mariadb" };
    let Ok(bin) = variable(other, "BIN") else { return };
    let place = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(format!("{bin}/mysqldump"), place.path().join("mysqldump")).unwrap();
    let from = source.with(|settings| {
        settings.method = Method::Tool;
        settings.tools = vec![place.path().to_owned()];
    });
    let error = block_on(async { back_up(&repository().await, &from).await.unwrap_err() });
    if Path::new("/usr/bin/mysqldump").exists() {
        return;
    }
    assert_eq!(error.kind(), ErrorKind::ToolMissing, "{error}");
    let package = if server.is_mariadb() { "mariadb-client" } else { "mysql-client" };
    assert!(error.to_string().contains("found") && error.to_string().contains(package), "{error}");
}

fn tls(server: &Server) {
    let source = server.database("CREATE TABLE t(i int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let file = |name: &str| Some(variable(server.name, name).unwrap().into());
    let backed_up = |mode: TlsMode, ca: &str, host: &str| {
        let source = source.with(|settings| {
            settings.method = Method::Tool;
            settings.tools = vec![server.bin.clone().into()];
            settings.host = Some(host.to_owned());
            settings.tls.mode = mode;
            settings.tls.ca = if ca.is_empty() { None } else { file(ca) };
        });
        block_on(async { back_up(&repository().await, &source).await.map(drop) })
    };
    backed_up(TlsMode::VerifyFull, "CA", "localhost").unwrap();
    backed_up(TlsMode::Require, "", "127.0.0.1").unwrap();
    backed_up(TlsMode::Disable, "", "127.0.0.1").unwrap();
    backed_up(TlsMode::Prefer, "", "127.0.0.1").unwrap();
    assert!(backed_up(TlsMode::VerifyFull, "WRONG_CA", "localhost").is_err());
    let socket = variable(server.name, "SOCKET").unwrap();
    backed_up(TlsMode::Prefer, "", &socket).unwrap();
    // The program by itself is told to look too, not only the connection before it.
    let place = tempfile::tempdir().unwrap();
    dumping(
        server,
        place.path(),
        "cat \"${1#--defaults-file=}\" > \"${0%/*}/options\"; stat -Lc %a \"${1#--defaults-file=}\" > \"${0%/*}/mode\"; exec REAL \"$@\"",
    );
    let from = source.with(|settings| {
        settings.method = Method::Tool;
        settings.tools = vec![place.path().to_owned()];
        settings.host = Some("localhost".to_owned());
        settings.tls.mode = TlsMode::VerifyFull;
        settings.tls.ca = file("CA");
    });
    block_on(async { back_up(&repository().await, &from).await.unwrap() });
    let options = std::fs::read_to_string(place.path().join("options")).unwrap();
    let wrong = options.replace(&variable(server.name, "CA").unwrap(), &variable(server.name, "WRONG_CA").unwrap());
    assert_ne!(options, wrong);
    assert_eq!(std::fs::read_to_string(place.path().join("mode")).unwrap().trim(), "600");
    std::fs::write(place.path().join("wrong"), wrong).unwrap();
    for (name, expected) in [("options", true), ("wrong", false)] {
        let program = if server.is_mariadb() { "mariadb-dump" } else { "mysqldump" };
        let mut command = Command::new(format!("{}/{program}", server.bin));
        command.arg(format!("--defaults-file={}", place.path().join(name).display())).arg(&source.name);
        let done = command.stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(done.status.success(), expected, "{name}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

fn rights(server: &Server) {
    let source = server
        .database("CREATE TABLE t(i int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT * FROM t");
    let user = fresh("u");
    let name = quoted(&source.name);
    server.sql("", &format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'pw'; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON {name}.* TO '{user}'@'%'"));
    let from = source.with(|settings| {
        settings.method = Method::Tool;
        settings.tools = vec![server.bin.clone().into()];
        settings.user.clone_from(&user);
        settings.password = Some(kronos_core::Secret::new("pw"));
    });
    block_on(async {
        let repository = repository().await;
        let backup = back_up(&repository, &from).await.unwrap();
        assert_eq!(backup.position, None);
        assert!(backup.warnings.iter().any(|warning| warning.contains("GRANT")), "{backup:?}");
        let more = if server.is_mariadb() { "BINLOG MONITOR" } else { "REPLICATION CLIENT, RELOAD" };
        server.sql("", &format!("GRANT {more} ON *.* TO '{user}'@'%'"));
        let backup = back_up(&repository, &from).await.unwrap();
        assert!(backup.position.is_some(), "{backup:?}");
        server.sql("", &format!("DROP USER '{user}'@'%'"));
        bring_back(&repository, &tool(&server.new_name()), &RestoreOptions::new()).await.unwrap();
    });
}

fn exports(server: &Server) {
    for method in [Method::Native, Method::Tool] {
        let source = match method {
            // What the dumping program writes of it the client cannot read: a view that checks rows of a later one.
            Method::Tool => server.database(
                "CREATE TABLE t(i int PRIMARY KEY, d datetime); SET sql_mode = 'ALLOW_INVALID_DATES'; INSERT INTO t VALUES (1, '2023-02-30'); \
                 CREATE PROCEDURE p() SELECT ';'",
            ),
            Method::Native => rich(server),
        };
        let before = source.all();
        let place = tempfile::tempdir().unwrap();
        block_on(async {
            let repository = repository().await;
            let from = source.with(|settings| {
                settings.method = method;
                settings.tools = vec![server.bin.clone().into()];
            });
            back_up(&repository, &from).await.unwrap();
            let mut to = MysqlSettings::new("", "");
            to.export = Some(place.path().join("out"));
            bring_back(&repository, &MysqlSource::new(to).unwrap(), &RestoreOptions::new()).await.unwrap();
        });
        let directory = place.path().join("out");
        let file = format!("{}.sql", source.name);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2);
        assert!(place.path().join("out/globals.sql").exists());
        let target = server.database_named(&fresh("exported"), "CHARACTER SET latin1 COLLATE latin1_german1_ci", "");
        let script = std::fs::File::open(directory.join(file)).unwrap();
        let mut client = server.program("client");
        client
            .current_dir(&directory)
            .args(["--batch", "--binary-mode"])
            .arg(format!("--database={}", target.name))
            .stdin(script);
        let done = client.output().unwrap();
        assert!(done.status.success(), "{method:?}: {}", String::from_utf8_lossy(&done.stderr));
        // The file of the server's program says more of some columns than the server did.
        let is_kept =
            |line: &&str| method == Method::Native || (line.starts_with("INSERT ") && !line.contains("negative_zero"));
        let lines = |dump: &str| {
            dump.lines()
                .filter(is_kept)
                .flat_map(|line| {
                    [
                        line, "
",
                    ]
                })
                .collect::<String>()
        };
        assert_same(&lines(&target.all()), &lines(&before), &format!("{method:?}"));
    }
}
