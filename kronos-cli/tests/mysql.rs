//! The real program on real MySQL and MariaDB servers: from the URL to the restored database, the
//! password by every way, plain files, what is wrong.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;
#[allow(dead_code, reason = "the connector's own tests use the rest")]
#[path = "../../kronos-connectors/tests/mysql/instance.rs"]
mod instance;
#[allow(dead_code, reason = "the connector's own tests use the rest")]
#[path = "../../kronos-connectors/tests/mysql/server.rs"]
mod server;

use std::time::Duration;

use common::Place;
use common::small::{Small, mounting};
use libtest_mimic::Arguments;
use server::{Database, Server, assert_same, on_each, variable};

fn main() {
    let trials = [
        on_each("from_a_url_and_back", life),
        on_each("passwords_by_every_way", passwords),
        on_each("wrong_ones_are_told", wrong),
        on_each("what_is_installed", doctor),
        on_each("killed_at_any_moment", killed),
        mounting(on_each("onto_a_full_disk", full_disk)),
        mounting(vec![
            server::on("mariadb", "into_a_server_whose_disk_is_full", full_server),
            server::on("mariadb11", "into_a_server_whose_disk_is_full", full_server),
        ]),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit();
}

fn shop(server: &Server) -> Database {
    server.database(
        "CREATE TABLE orders(id int PRIMARY KEY AUTO_INCREMENT, x text); INSERT INTO orders(x) VALUES ('a'), ('b'); \
         INSERT INTO orders(x) SELECT CONCAT('x', a.id) FROM orders a, orders b; CREATE TABLE parts(id int PRIMARY KEY); \
         CREATE VIEW v AS SELECT id FROM parts",
    )
}

/// The URL of a database, without a password.
fn url(database: &Database) -> String {
    let scheme = if database.server.is_mariadb() { "mariadb" } else { "mysql" };
    format!("{scheme}://root@127.0.0.1:{}/{}", database.server.port, database.name)
}

fn run(place: &Place, server: &Server, args: &[&str]) -> common::Ran {
    let path = format!("{}:/usr/bin:/bin", server.bin);
    let ran = place.run_with(&[("MYSQL_PWD", &server.password), ("PATH", &path)], args);
    assert!(!ran.out.contains(&server.password) && !ran.err.contains(&server.password), "a secret is shown");
    ran
}

#[track_caller]
fn ok(place: &Place, server: &Server, args: &[&str]) -> common::Ran {
    let ran = run(place, server, args);
    assert_eq!(ran.code, 0, "kronos {args:?}\n{}\n{}", ran.out, ran.err);
    ran
}

fn life(server: &Server) {
    let (place, source) = (Place::new(), shop(server));
    for method in ["native", "tool"] {
        let (repo, out) = (format!("repo-{method}"), format!("out-{method}"));
        let target = server.new_name();
        ok(&place, server, &["backup", &url(&source), "--to", &repo, "--method", method]);
        let again = ok(&place, server, &["backup", &url(&source), "--to", &repo, "--method", method, "--json"]);
        let again: serde_json::Value = serde_json::from_str(&again.out).unwrap();
        assert_eq!(again["jobs"][0]["method"], method);
        let listed = ok(&place, server, &["list", "--from", &repo]);
        assert!(listed.out.contains(&source.name), "{listed:?}");
        ok(&place, server, &["restore", "latest", "--from", &repo, "--to", &url(&target), "--dry-run"]);
        assert!(!server.databases().contains(&target.name), "a dry run makes nothing");
        ok(&place, server, &["restore", "latest", "--from", &repo, "--to", &url(&target)]);
        assert_same(&target.all(), &source.all(), method);
        let there = run(&place, server, &["restore", "latest", "--from", &repo, "--to", &url(&target)]);
        assert!(there.code == 1 && there.err.contains("--replace"), "{there:?}");
        ok(&place, server, &["restore", "latest", "--from", &repo, "--to", &url(&target), "--replace"]);
        ok(&place, server, &["export", "latest", &out, "--from", &repo]);
        assert!(place.path(&out).join("globals.sql").exists());
        let text = std::fs::read_to_string(place.path(&out).join(format!("{}.sql", source.name))).unwrap();
        assert!(text.contains("CREATE TABLE `orders`"), "{text}");
    }
}

fn passwords(server: &Server) {
    let (place, source) = (Place::new(), shop(server));
    let path = format!("{}:/usr/bin:/bin", server.bin);
    let backed_up = |url: &str| {
        let ran = place.run_with(&[("PATH", &path)], &["backup", url, "--to", "repo", "--method", "tool"]);
        assert!(!format!("{}{}", ran.out, ran.err).contains(&server.password), "{ran:?}");
        ran
    };
    let bare = backed_up(&url(&source));
    assert!(bare.code == 1 && bare.err.contains("hint: no password was given"), "{bare:?}");
    place.write("home/.my.cnf", &format!("[client]\npassword=\"{}\"\n", server.password));
    assert_eq!(backed_up(&url(&source)).code, 0);
    std::fs::remove_file(place.path("home/.my.cnf")).unwrap();
    let escaped = server.password.replace(' ', "%20").replace('\'', "%27");
    let with = url(&source).replace("root@", &format!("root:{escaped}@"));
    let ran = backed_up(&with);
    assert!(ran.code == 0 && !format!("{}{}", ran.out, ran.err).contains(&escaped), "{ran:?}");
    let socket = variable(server.name, "SOCKET").unwrap().replace('/', "%2F");
    let address = format!("127.0.0.1:{}", server.port);
    assert_eq!(backed_up(&with.replace(&address, &socket)).code, 0);
}

fn wrong(server: &Server) {
    let (place, source) = (Place::new(), shop(server));
    let whole = url(&source);
    let missing = whole.replace(&source.name, "not_there");
    for (args, code, said) in [
        (&["backup", &missing, "--to", "repo"][..], 5, "no such database"),
        (&["backup", &missing, "--to", "repo", "--method", "tool"], 5, "no such database"),
        (&["backup", "mysql://x@127.0.0.1:1/y", "--to", "repo"], 1, "connection"),
        (&["backup", &format!("{whole}?tls=verify_ful"), "--to", "repo"], 2, "verify-full"),
        (&["backup", &format!("{whole}?nonsense=1"), "--to", "repo"], 2, "unknown option"),
    ] {
        let ran = run(&place, server, args);
        assert!(ran.code == code && ran.err.contains(said), "{args:?}: {ran:?}");
    }
    ok(&place, server, &["backup", &whole, "--to", "repo"]);
    let crossed = run(&place, server, &["restore", "latest", "--from", "repo", "--to", "x.db"]);
    assert!(crossed.code == 2 && !place.path("x.db").exists(), "{crossed:?}");
    // Without its programs.
    if !["/usr/bin", "/usr/local/bin"].iter().any(|at| std::path::Path::new(at).join("mysqldump").exists()) {
        let tool = place.run_with(
            &[("MYSQL_PWD", &server.password), ("PATH", "/nowhere")],
            &["backup", &whole, "--to", "repo", "--method", "tool"],
        );
        let package = if server.is_mariadb() { "mariadb-client" } else { "mysql-client" };
        assert!(tool.code != 0 && tool.err.contains(package), "{tool:?}");
    }
}

fn doctor(server: &Server) {
    let place = Place::new();
    // The other family's programs may be missing, which is no warning: the native method needs none.
    let found = run(&place, server, &["doctor"]);
    assert!(!found.err.contains("mysql") && !found.err.contains("mariadb"), "{found:?}");
    let program = if server.is_mariadb() { "mariadb-dump" } else { "mysqldump" };
    let version = server.sql("", "SELECT VERSION()").split('-').next().unwrap().to_owned();
    let line = format!("{version} {}/{program}", server.bin);
    assert!(found.out.contains(&line), "{line}: {}", found.out);
}

/// No session of those that work on a database is left, nor a lock.
fn no_session_is_left(server: &Server, database: &Database) {
    let begun = std::time::Instant::now();
    // Those of the tests have ended with their statements.
    let sessions = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'root' AND id <> CONNECTION_ID() \
        AND command IN ('Query', 'Sleep', 'Execute')";
    while server.sql("", sessions) != "0" {
        let all = || server.sql("", "SHOW PROCESSLIST");
        assert!(begun.elapsed() < Duration::from_secs(20), "a session is left: {}", all());
        std::thread::sleep(Duration::from_millis(100));
    }
    database.sql("SET lock_wait_timeout = 1; ALTER TABLE t COMMENT = 'free'; ALTER TABLE t COMMENT = ''");
}

const ROWS: &str = "INSERT INTO t WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 200) \
    SELECT n + COALESCE((SELECT MAX(id) FROM t), 0), REPEAT(SHA2(CONCAT(n, RAND()), 512), 800) FROM s";

/// A killed backup is none; a killed restore leaves the old or, after the next one, the new.
fn killed(server: &Server) {
    let place = Place::new();
    let source = server.database(&format!(
        "CREATE TABLE t(id INT PRIMARY KEY, x LONGTEXT, KEY (x(10))); {ROWS}; CREATE VIEW v AS SELECT id FROM t; \
         CREATE PROCEDURE p() SELECT 'new'; CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.x = 'x'"
    ));
    let expected = source.all();
    let (from, repo) = (url(&source), "repo");
    ok(&place, server, &["backup", &from, "--to", repo]);
    // Other moments each time.
    let moments = u64::from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos());
    let target = server.database("");
    let to = url(&target);
    let restore = ["restore", "latest", "--from", repo, "--to", &to, "--replace"];
    let begun = std::time::Instant::now();
    ok(&place, server, &restore);
    let whole = u64::try_from(begun.elapsed().as_millis()).unwrap();
    let old = "DROP DATABASE IF EXISTS {}; CREATE DATABASE {}; USE {}; CREATE TABLE t(old INT); INSERT INTO t VALUES (1); \
        CREATE TABLE gone(x INT); CREATE PROCEDURE p() SELECT 'old'";
    for n in 0..8 {
        let pause = (moments + n * 104_729) % whole;
        // The last moments are those at which tables change their places.
        let pause = if n % 2 == 0 { pause } else { whole - pause % 120.min(whole) };
        server.sql("", &old.replace("{}", &target.name));
        let before = target.all();
        for args in [&["backup", &from, "--to", repo][..], &restore[..]] {
            let path = format!("{}:/usr/bin:/bin", server.bin);
            let mut command = place.command(args);
            command.env("MYSQL_PWD", &server.password).env("PATH", path).stderr(std::process::Stdio::null());
            let mut child = command.spawn().unwrap();
            std::thread::sleep(Duration::from_millis(pause));
            let _ = child.kill();
            child.wait().unwrap();
        }
        no_session_is_left(server, &source);
        let now = target.all();
        if now != before && now != expected {
            // In the middle: only the next one may settle that.
            let refused = run(&place, server, &["restore", "latest", "--from", repo, "--to", &to]);
            assert_eq!(refused.code, 1, "{refused:?}");
        }
        ok(&place, server, &restore);
        assert_same(&target.all(), &expected, &format!("after {pause} ms"));
        let left: Vec<String> = server
            .databases()
            .into_iter()
            .filter(|name| name.starts_with(&format!("{}_kronos", target.name)))
            .collect();
        assert!(left.is_empty(), "after {pause} ms: {left:?}");
    }
    ok(&place, server, &["check", "--from", repo]);
}

/// The server notices nothing of it but that a session ends.
fn full_disk(server: &Server) {
    let place = Place::new();
    let small = Small::mount(place.path("small"), 8).unwrap();
    let source = server.database("CREATE TABLE t(id INT PRIMARY KEY, x LONGTEXT)");
    source.sql("INSERT INTO t VALUES (1, 'first')");
    for method in ["native", "tool"] {
        ok(&place, server, &["backup", &url(&source), "--to", &format!("small/{method}"), "--method", method]);
    }
    let before = source.all();
    let noise = "INSERT INTO t WITH RECURSIVE s(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM s WHERE n < 900) \
        SELECT n, GROUP_CONCAT(SHA2(CONCAT(s.n, '-', m.seq), 512) SEPARATOR '') FROM s JOIN (WITH RECURSIVE q(seq) AS \
        (SELECT 1 UNION ALL SELECT seq + 1 FROM q WHERE seq < 200) SELECT seq FROM q) m GROUP BY n";
    source.sql(&format!("SET SESSION group_concat_max_len = 1000000; {noise}"));
    for method in ["native", "tool"] {
        let repo = format!("small/{method}");
        let full = run(&place, server, &["backup", &url(&source), "--to", &repo, "--method", method]);
        assert!(full.code == 1 && full.err.contains("No space left on device"), "{full:?}");
        let listed = run(&place, server, &["list", "--from", &repo, "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
        assert_eq!(listed["backups"].as_array().map(Vec::len), Some(1));
        no_session_is_left(server, &source);
    }
    small.grow(200);
    for method in ["native", "tool"] {
        let (repo, target) = (format!("small/{method}"), server.new_name());
        ok(&place, server, &["backup", &url(&source), "--to", &repo, "--method", method]);
        ok(&place, server, &["check", "--read-data", "--from", &repo]);
        ok(&place, server, &["restore", "latest", "--from", &repo, "--to", &url(&target)]);
        assert_same(&target.all(), &source.all(), method);
        ok(&place, server, &["restore", "latest~1", "--from", &repo, "--to", &url(&target), "--replace"]);
        assert_same(&target.all(), &before, method);
    }
}

/// The old database is as it was, and once there is room the same restore works.
fn full_server(server: &Server) {
    let place = Place::new();
    let source = server.database(&format!(
        "CREATE TABLE t(id INT PRIMARY KEY, x LONGTEXT); {ROWS}; {ROWS}; {ROWS}; CREATE PROCEDURE p() SELECT 'new'"
    ));
    ok(&place, server, &["backup", &url(&source), "--to", "repo"]);
    let home = tempfile::Builder::new().prefix("kronos-instance-").tempdir().unwrap();
    let small = Small::mount(home.path().join("data"), 80).unwrap();
    let data = small.at.clone();
    let instance = instance::Instance::with_data(server, home, &data, &["--innodb-log-file-size=8M"]);
    let target = instance
        .server
        .database("CREATE TABLE t(old INT); INSERT INTO t VALUES (1); CREATE PROCEDURE p() SELECT 'old'");
    let before = target.all();
    let restore = ["restore", "latest", "--from", "repo", "--to", &url(&target), "--replace"];
    let full = run(&place, server, &restore);
    assert!(full.code == 1 && full.err.contains("is full"), "{full:?}");
    assert_same(&target.all(), &before, "a target without room");
    assert!(!instance.server.databases().iter().any(|name| name.contains("_kronos_")), "something is left");
    small.grow(400);
    ok(&place, server, &restore);
    assert_same(&target.all(), &source.all(), "once there is room");
    drop(target);
    drop(instance);
}
