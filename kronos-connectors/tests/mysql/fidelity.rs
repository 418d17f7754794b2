//! What comes back is what was there: as the server's own program for dumps sees it, and byte for byte
//! as the server shows each value; with everyone who has rights, and what may not be lost in silence.

use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kronos_core::{
    BackupOptions, Connector as _, DumpRequest, ErrorKind, RestoreOptions, RunContext, StreamId, backup,
};
use libtest_mimic::Trial;

use crate::server::{
    Database, Server, USERS, assert_same, back_up, block_on, bring_back, on_each, quoted, repository, variable,
};

pub(crate) fn trials() -> Vec<Trial> {
    [
        on_each("everything_comes_back", everything),
        on_each("a_lost_server_comes_back_with_its_users", lost),
        on_each("views_that_cannot_be_read_are_named", views),
        on_each("a_sample_database", sample),
        on_each("a_table_that_is_altered_while_it_is_read", altered),
        on_each("what_would_be_left_out_in_silence_is_refused", unseen),
        on_each("rows_may_be_much_larger_than_a_packet", large),
        vec![between("mariadb", "mysql"), between("mysql", "mariadb")],
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(crate) const OTHER: &str = "-na`sty. \"o\" '$(x)' %s ü";

/// Two databases as nasty as the server can bear, whose names are the same each time.
pub(crate) struct Nasty {
    pub(crate) main: Database,
    pub(crate) other: Database,
    _turn: MutexGuard<'static, ()>,
}

/// Whoever needs those names, or changes what a whole server allows.
static TURN: Mutex<()> = Mutex::new(());

pub(crate) fn nasty(server: &Server) -> Nasty {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if !server.is_mariadb() {
        // Only he who comes by the socket may hand this right on.
        let mut client = server.program("client");
        client.args(["--host=localhost", "--protocol=socket"]);
        client.arg(format!("--socket={}", variable(server.name, "SOCKET").unwrap()));
        client.arg("--execute=GRANT PROXY ON ''@'' TO root@'127.0.0.1' WITH GRANT OPTION");
        assert!(client.stdin(Stdio::null()).status().unwrap().success());
    }
    let own = if server.is_mariadb() { include_str!("nasty_mariadb.sql") } else { include_str!("nasty_mysql.sql") };
    server.sql("", include_str!("nasty.sql"));
    server.sql("", own);
    Nasty { main: server.none("nasty"), other: server.none(OTHER), _turn: turn }
}

/// Every value of every table as the server shows its bytes, sorted.
fn values(database: &Database) -> String {
    let of = |sql: &str| database.sql(sql).lines().map(str::to_owned).collect::<Vec<_>>();
    let tables = "SELECT HEX(table_name), table_type FROM information_schema.tables WHERE table_schema = DATABASE() \
        AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1";
    let columns = "SELECT HEX(table_name), HEX(column_name), data_type FROM information_schema.columns \
        WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position";
    let columns: Vec<Vec<String>> = of(columns).iter().map(|line| line.split('\t').map(unhex).collect()).collect();
    let mut queries = String::new();
    for line in of(tables) {
        let (table, kind) = line.split_once('\t').unwrap();
        let table = unhex(table);
        let mut shown: Vec<String> = Vec::new();
        for column in columns.iter().filter(|column| column[0] == table) {
            let name = quoted(&column[1]);
            let bytes = |value: &str| format!("IF(LENGTH({value}) > 4000, SHA2({value}, 256), HEX({value}))");
            shown.push(match column[2].as_str() {
                "float" | "double" => format!("CAST({name} AS DOUBLE)"),
                "enum" | "set" => format!("CAST({name} AS UNSIGNED)"),
                kind if kind.contains("int") && !kind.contains("point") => name,
                "decimal" | "date" | "datetime" | "timestamp" | "time" | "year" | "json" => {
                    bytes(&format!("CONCAT({name})"))
                }
                _ => bytes(&name),
            });
        }
        if kind == "SYSTEM VERSIONED" && !columns.iter().any(|c| c[0] == table && (c[1] == "s" || c[1] == "until")) {
            shown.extend(["row_start", "row_end"].map(str::to_owned));
        }
        let all =
            if kind == "SYSTEM VERSIONED" && table != "versioned_transactions" { "FOR SYSTEM_TIME ALL" } else { "" };
        // The numbers of transactions are of the server.
        if table == "versioned_transactions" {
            shown.truncate(2);
        }
        let label: Vec<String> = table.bytes().map(|byte| format!("{byte:02x}")).collect();
        let label = label.concat();
        queries.extend(["SELECT '", &label, "', ", &shown.join(", "), " FROM ", &quoted(&table), " ", all, ";\n"]);
    }
    let mut lines = of(&queries);
    lines.sort_unstable();
    assert!(lines.len() > 100 || database.name != "nasty", "{}", lines.len());
    lines.join("\n")
}

fn unhex(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    let bytes: Option<Vec<u8>> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect();
    // Names of types are as they are.
    bytes
        .filter(|_| text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()))
        .and_then(|b| String::from_utf8(b).ok())
        .unwrap_or_else(|| text.to_owned())
}

/// Everyone with the name of the fixtures, and what they may do.
pub(crate) fn accounts(server: &Server) -> String {
    let role = if server.is_mariadb() { "is_role" } else { "'N'" };
    let list = format!(
        "SELECT HEX(user), HEX(host), {role} FROM mysql.user WHERE user LIKE 'nasty%' OR host = 'nasty.host' ORDER BY 1, 2"
    );
    let mut sql = if server.is_mariadb() { String::new() } else { "SET print_identified_with_as_hex = ON;".to_owned() };
    for line in server.sql("", &list).lines() {
        let fields: Vec<String> = line.split('\t').map(unhex).collect();
        let name = if fields[2] == "Y" {
            quoted(&fields[0])
        } else {
            format!("{}@{}", quoted(&fields[0]), quoted(&fields[1]))
        };
        if fields[2] != "Y" {
            sql.extend(["SHOW CREATE USER ", &name, ";\n"]);
        }
        sql.extend(["SHOW GRANTS FOR ", &name, ";\n"]);
    }
    if server.is_mariadb() {
        sql.push_str("SHOW GRANTS FOR PUBLIC; SELECT * FROM mysql.roles_mapping WHERE user LIKE 'nasty%' OR role LIKE 'nasty%' ORDER BY 1, 2, 3;");
    } else {
        sql.push_str("SELECT user, host, HEX(user_attributes), ssl_cipher, x509_issuer, x509_subject, password_expired, password_lifetime \
            FROM mysql.user WHERE user LIKE 'nasty%' ORDER BY 1, 2");
    }
    // In the order in which rights are listed there is nothing.
    let all = server.sql("", &sql);
    let mut lines: Vec<&str> = all.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

pub(crate) fn drop_accounts(server: &Server) {
    let role = if server.is_mariadb() { "IF(is_role = 'Y', 'ROLE', 'USER')" } else { "'USER'" };
    let name = if server.is_mariadb() {
        "IF(is_role = 'Y', QUOTE(user), CONCAT(QUOTE(user), '@', QUOTE(host)))"
    } else {
        "CONCAT(QUOTE(user), '@', QUOTE(host))"
    };
    let sql = format!(
        "SELECT HEX(CONCAT('DROP ', {role}, ' ', {name}, ';')) FROM mysql.user WHERE user LIKE 'nasty%' OR host = 'nasty.host'"
    );
    let drops: Vec<String> = server.sql("", &sql).lines().map(unhex).collect();
    server.sql("", &drops.join("\n"));
}

fn everything(server: &Server) {
    let nasty = nasty(server);
    for source in [&nasty.main, &nasty.other] {
        let target = server.new_name();
        let (before, bytes) = (source.all(), values(source));
        block_on(async {
            let repository = repository().await;
            let backup = back_up(&repository, &source.source()).await.unwrap();
            let report = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
            assert_same(&target.all(), &before, server.name);
            assert_same(&values(&target), &bytes, "values");
            assert!(backup.position.is_some(), "{backup:?}");
            assert_eq!(report.outcome.created.len(), 1, "{:?}", report.outcome);
            bring_back(&repository, &target.source(), &RestoreOptions::new().with_replace()).await.unwrap();
            assert_same(&target.all(), &before, "replaced");
            assert_same(&values(&target), &bytes, "values that were replaced");
        });
        assert_same(&source.all(), &before, "the source");
    }
}

fn lost(server: &Server) {
    let _users = USERS.write().unwrap_or_else(PoisonError::into_inner);
    let nasty = nasty(server);
    if server.is_mariadb() {
        server.sql("", "GRANT SELECT ON nasty.* TO PUBLIC");
    }
    let (main, other, users) = (nasty.main.all(), nasty.other.all(), accounts(server));
    let bytes = values(&nasty.main);
    block_on(async {
        let repository = repository().await;
        let mut options = BackupOptions::new();
        let others = server.databases().into_iter().filter(|name| name != "nasty" && !name.starts_with("-na"));
        options.exclude = others.chain(["kt_*".to_owned()]).collect();
        backup(&repository, &server.source([]), &options, &RunContext::new()).await.unwrap();
        server.sql("", &format!("SET foreign_key_checks = 0; DROP DATABASE nasty; DROP DATABASE {}", quoted(OTHER)));
        drop_accounts(server);
        if server.is_mariadb() {
            server.sql("", "REVOKE SELECT ON nasty.* FROM PUBLIC");
        }
        let report = bring_back(&repository, &server.source([]), &RestoreOptions::new()).await.unwrap();
        assert!(
            !report.outcome.warnings.iter().any(|line| line.contains("right could not")),
            "{:?}",
            report.outcome.warnings
        );
    });
    assert_same(&accounts(server), &users, "users");
    assert_same(&nasty.main.all(), &main, "nasty");
    assert_same(&nasty.other.all(), &other, "the other one");
    assert_same(&values(&nasty.main), &bytes, "values");
    drop_accounts(server);
}

/// Of views on what is gone those come back that the server can make; the others are named.
fn views(server: &Server) {
    let _users = USERS.write().unwrap_or_else(PoisonError::into_inner);
    server.sql("", include_str!("nasty_views.sql"));
    let (source, target) = (server.none("nasty_views"), server.new_name());
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        let report = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        let found = target.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()");
        for name in
            ["a_readable", "definer_gone", "a_on_definer_gone", "table_gone", "function_gone", "column_gone", "star"]
        {
            let is_told =
                report.outcome.warnings.iter().any(|line| line.contains(&format!("view {name} was not made")));
            assert!(found.lines().any(|line| line == name) != is_told, "{name}: {found} {:?}", report.outcome.warnings);
        }
        assert_eq!(target.sql("SELECT * FROM a_readable"), "1\tx");
        assert!(target.sql("SHOW CREATE PROCEDURE still_there").contains("nasty_gone"));
    });
}

/// The media shop, without the statements by which its script makes a database of that name.
fn sample(server: &Server) {
    let script = include_str!("../../../examples/data/chinook-mysql.sql").trim_start_matches('\u{feff}');
    let is_of_database =
        |line: &&str| ["DROP DATABASE", "CREATE DATABASE", "USE "].iter().any(|word| line.starts_with(word));
    let script: Vec<&str> = script.lines().filter(|line| !is_of_database(line)).collect();
    let (source, target) = (server.database(&script.join("\n")), server.new_name());
    assert_eq!(source.sql("SELECT COUNT(*) FROM Track"), "3503");
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
    });
    assert_same(&target.all(), &source.all(), "the sample");
    assert_same(&values(&target), &values(&source), "its values");
}

/// Changes of which the server says nothing to who has an older snapshot.
fn altered(server: &Server) {
    for change in
        ["ADD COLUMN new INT DEFAULT 7", "DROP COLUMN b", "RENAME COLUMN a TO b, RENAME COLUMN b TO a", "COMMENT = 'x'"]
    {
        let source =
            server.database("CREATE TABLE t(id INT PRIMARY KEY, a INT, b INT); INSERT INTO t VALUES (1, 2, 3)");
        block_on(async {
            // As if the user had no right to keep others from altering tables.
            let run = RunContext::new();
            let dump = source.source().begin_dump(&DumpRequest::default(), &run).await.unwrap();
            let altering = source
                .server
                .try_sql(&source.name, format!("SET lock_wait_timeout = 1; ALTER TABLE t {change}").as_bytes());
            let place = dump.outline().streams.iter().position(|stream| stream.name.ends_with("/t")).unwrap();
            let stream = dump.open(StreamId(u32::try_from(place).unwrap())).await.unwrap();
            let read = stream.collect().await;
            match altering {
                Ok(_) => assert_eq!(read.unwrap_err().kind(), ErrorKind::Conflict, "{change}"),
                // MySQL makes it wait until the backup has ended.
                Err(_) => assert!(!server.is_mariadb() && read.is_ok(), "{change}"),
            }
            dump.abort().await;
        });
    }
}

fn unseen(server: &Server) {
    let _users = USERS.write().unwrap_or_else(PoisonError::into_inner);
    let source =
        server.database("CREATE TABLE t(x INT); CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.x = 1");
    let user = crate::server::fresh("unseen");
    let name = &source.name;
    server.sql("", &format!("CREATE USER {user}@'%'; GRANT SELECT, SHOW VIEW, EVENT ON {name}.* TO {user}@'%'"));
    let poor = source.with(|settings| {
        settings.user.clone_from(&user);
        settings.password = None;
    });
    block_on(async {
        let repository = repository().await;
        let refused = back_up(&repository, &poor).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{refused}");
        assert!(refused.context("missing").unwrap().contains(&format!("GRANT TRIGGER ON `{name}`.*")), "{refused}");
        server.sql("", &format!("GRANT TRIGGER ON {name}.* TO {user}@'%'"));
        let backup = back_up(&repository, &poor).await.unwrap();
        assert!(
            backup.warnings.iter().any(|line| line.contains("routines that the user may not see")),
            "{:?}",
            backup.warnings
        );
    });
    server.sql("", &format!("DROP USER {user}@'%'"));
}

fn large(server: &Server) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (source, target) = (
        server.database("CREATE TABLE t(id INT PRIMARY KEY, b LONGBLOB); INSERT INTO t VALUES (1, REPEAT(0x00095C0A, 2000000)); UPDATE t SET b = CONCAT(b, b)"),
        server.new_name(),
    );
    let before: u64 = server.sql("", "SELECT @@global.max_allowed_packet").parse().unwrap();
    let expected = source.sql("SELECT SHA2(b, 256), LENGTH(b) FROM t");
    server.sql("", "SET GLOBAL max_allowed_packet = 1048576");
    block_on(async {
        let repository = repository().await;
        let both = async {
            back_up(&repository, &source.source()).await?;
            bring_back(&repository, &target.source(), &RestoreOptions::new()).await
        };
        let done = both.await;
        server.sql("", &format!("SET GLOBAL max_allowed_packet = {before}"));
        done.unwrap();
    });
    assert_eq!(target.sql("SELECT SHA2(b, 256), LENGTH(b) FROM t"), expected);
}

/// Tables go from one kind of server to the other, where both know what they are made of.
fn between(from: &'static str, to: &'static str) -> Trial {
    let name = format!("{to}::tables_come_from_{from}");
    match (Server::named(from), Server::named(to)) {
        (Ok(from), Ok(to)) => Trial::test(name, move || {
            across(&from, &to);
            Ok(())
        }),
        (Err(reason), _) | (_, Err(reason)) => {
            Trial::test(format!("{name} ({reason})"), || Ok(())).with_ignored_flag(true)
        }
    }
}

const COMMON: &str = "
CREATE TABLE t(id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(20) COLLATE utf8mb4_bin, b TEXT CHARACTER SET latin1, c DECIMAL(20,5), d DOUBLE, f FLOAT,
    e ENUM('x', 'y'), s SET('p', 'q'), ts TIMESTAMP(3) NULL, dt DATETIME, y YEAR, bi BIT(9), bl BLOB, g INT GENERATED ALWAYS AS (c + 1) STORED,
    j LONGTEXT, UNIQUE KEY u (a), KEY k (b(5), c)) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci AUTO_INCREMENT = 100;
INSERT INTO t(a, b, c, d, f, e, s, ts, dt, y, bi, bl, j) VALUES ('ä\\t', 'ü', 1.5, 0.1, 1e-30, 'y', 'p,q', '2020-01-01 00:00:00.123', '0000-00-00', 2000, 257, 0x00095C0A, '{}'),
    ('b', NULL, -1, 1e300, 3.4e38, NULL, '', NULL, NULL, NULL, NULL, '', NULL);
CREATE TABLE child(t INT, v INT, FOREIGN KEY (t) REFERENCES t(id)); INSERT INTO child VALUES (100, 1), (NULL, 2), (NULL, 2);
CREATE VIEW v AS SELECT id FROM t; CREATE PROCEDURE p() SELECT 1;
";

fn across(from: &Server, to: &Server) {
    let options = "CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";
    let source = from.database_named(&crate::server::fresh("db"), options, &format!("SET sql_mode = ''; {COMMON}"));
    let target = to.new_name();
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        let report = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        let is_told = |text: &str| report.outcome.warnings.iter().any(|line| line.contains(text));
        assert!(is_told("procedure p, view v") && is_told("users and their rights"), "{:?}", report.outcome.warnings);
        assert_same(&values(&target), &values(&source), "values");
        let shape = "SELECT table_name, column_name, collation_name, is_nullable, extra FROM information_schema.columns \
            WHERE table_schema = DATABASE() AND table_name <> 'v' ORDER BY 1, ordinal_position; SELECT table_name, index_name, non_unique, column_name, \
            sub_part FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY 1, 2, seq_in_index";
        let plain =
            |database: &Database| database.sql(shape).replace("DEFAULT_GENERATED", "").replace("STORED GENERATED", "");
        assert_same(&plain(&target), &plain(&source), "columns and keys");
        // What the other does not have is refused, and nothing is left of the attempt.
        let own = if from.is_mariadb() { "CREATE TABLE o(u UUID)" } else { "CREATE TABLE o(a INT, KEY ((a + 1)))" };
        source.sql(own);
        back_up(&repository, &source.source()).await.unwrap();
        let none = to.new_name();
        let refused = bring_back(&repository, &none.source(), &RestoreOptions::new()).await.unwrap_err();
        assert!(refused.to_string().contains("tables of each other"), "{refused}");
        assert!(!to.databases().iter().any(|name| name.starts_with(&none.name)), "{refused}");
    });
}
