//! The real program on real MySQL and MariaDB servers: from the URL to the restored database, the
//! password by every way, plain files, what is wrong.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;
#[allow(dead_code, reason = "the connector's own tests use the rest")]
#[path = "../../kronos-connectors/tests/mysql/server.rs"]
mod server;

use common::Place;
use libtest_mimic::Arguments;
use server::{Database, Server, assert_same, on_each, variable};

fn main() {
    let trials = [
        on_each("from_a_url_and_back", life),
        on_each("passwords_by_every_way", passwords),
        on_each("wrong_ones_are_told", wrong),
        on_each("what_is_installed", doctor),
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
