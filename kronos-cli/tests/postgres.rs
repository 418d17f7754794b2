//! The real program on a real PostgreSQL server: from the URL to the restored database, passwords by
//! every way, configuration, plain files, what is wrong.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;
#[allow(dead_code, reason = "the connector's own tests use the rest")]
#[path = "../../kronos-connectors/tests/postgres/server.rs"]
mod server;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use common::Place;
use common::small::{Small, mounting};
use libtest_mimic::Arguments;
use server::{Database, Server, on_each};

fn main() {
    let trials = [
        on_each("from_a_url_and_back", life),
        on_each("passwords_by_every_way", passwords),
        on_each("of_the_configuration", configuration),
        on_each("wrong_ones_are_told", wrong),
        on_each("killed_at_any_moment", killed),
        mounting(on_each("onto_a_full_disk", full_disk)),
        on_each("what_may_not_be_read_is_told_beforehand", validate),
        on_each("what_is_installed", doctor),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit();
}

fn shop(server: &Server) -> Database {
    server.database(
        "CREATE TABLE orders(id serial PRIMARY KEY, x text); INSERT INTO orders(x) SELECT md5(i::text) FROM generate_series(1, 5000) i; \
         CREATE TABLE parts(id int)",
    )
}

/// The URL of a database, without a password.
fn url(database: &Database) -> String {
    format!("postgres://postgres@127.0.0.1:{}/{}", database.server.port, database.name)
}

/// The server's own programs, and what those need that are scripts.
fn path(server: &Server) -> String {
    format!("{}:/usr/bin:/bin", server.bin)
}

/// Variables with the password, and the search path.
fn variables(server: &Server) -> [(String, String); 2] {
    [("PGPASSWORD".to_owned(), server.password.clone()), ("PATH".to_owned(), path(server))]
}

fn run(place: &Place, server: &Server, args: &[&str]) -> common::Ran {
    let variables = variables(server);
    let variables: Vec<(&str, &str)> = variables.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let ran = place.run_with(&variables, args);
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
        assert!(again["jobs"][0]["backup"]["bytes_stored"].as_u64().unwrap() < 60_000, "{again}");
        ok(&place, server, &["restore", "latest", "--from", &repo, "--to", &url(&target), "--dry-run"]);
        assert!(!server.exists(&target.name), "a dry run makes nothing");
        ok(&place, server, &["restore", "latest", "--from", &repo, "--to", &url(&target)]);
        assert_eq!(target.all(), source.all(), "{method}");
        let there = run(&place, server, &["restore", "latest", "--from", &repo, "--to", &url(&target)]);
        assert!(there.code == 1 && there.err.contains("--replace"), "{there:?}");
        ok(&place, server, &["restore", "latest", "--from", &repo, "--to", &url(&target), "--replace"]);
        ok(&place, server, &["export", "latest", &out, "--from", &repo]);
        assert!(place.path(&out).join("globals.sql").exists());
        if method == "native" {
            let part = server.new_name();
            ok(&place, server, &["restore", "latest", "--from", &repo, "--to", &url(&part), "--only", "public.parts"]);
            assert_eq!(
                part.sql("SELECT string_agg(relname, ' ') FROM pg_class WHERE relkind = 'r' AND oid > 16384"),
                "parts"
            );
        }
    }
}

fn passwords(server: &Server) {
    let (place, source) = (Place::new(), shop(server));
    let path = path(server);
    let tools = [("PATH", path.as_str())];
    let bare = place.run_with(&tools, &["backup", &url(&source), "--to", "repo"]);
    assert!(bare.code == 1 && bare.err.contains("hint: no password was given"), "{bare:?}");
    // In the file of libpq.
    let password = server.password.replace('\\', "\\\\").replace(':', "\\:");
    let line = format!("127.0.0.1:{}:*:postgres:{password}\n", server.port);
    place.write("home/.pgpass", &line);
    let open = place.run_with(&tools, &["backup", &url(&source), "--to", "repo"]);
    assert!(open.code == 2 && open.err.contains("0600"), "{open:?}");
    std::fs::set_permissions(place.path("home/.pgpass"), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(place.run_with(&tools, &["backup", &url(&source), "--to", "repo"]).code, 0);
    std::fs::remove_file(place.path("home/.pgpass")).unwrap();
    // In the URL, and never shown again.
    let escaped = server.password.replace(' ', "%20").replace('\'', "%27");
    let with = url(&source).replace("postgres@", &format!("postgres:{escaped}@"));
    for args in [&["backup", &with, "--to", "repo", "-v"][..], &["backup", &with, "--to", "repo", "--json"]] {
        let ran = place.run_with(&tools, args);
        assert_eq!(ran.code, 0, "{ran:?}");
        let shown = format!("{}{}", ran.out, ran.err);
        assert!(!shown.contains(&server.password) && !shown.contains(&escaped), "{shown}");
    }
    // By a socket.
    let socket = url(&source).replace("127.0.0.1", &server.variable("SOCKET").replace('/', "%2F"));
    ok(&place, server, &["backup", &socket, "--to", "repo"]);
}

fn configuration(server: &Server) {
    let (place, source) = (Place::new(), shop(server));
    let ca = server.variable("CA");
    place.write("password", &format!("{}\n", server.password));
    place.write(
        "kronos.toml",
        &format!(
            "[databases.shop]\nengine = \"postgres\"\nhost = \"localhost\"\nport = {}\nuser = \"postgres\"\npassword_file = \"password\"\n\
             databases = [\"{}\"]\ntls = \"verify-full\"\ntls_ca = \"{ca}\"\ntools = \"{}\"\n\
             [storages.main]\nurl = \"repo\"\n[jobs.shop]\nmethod = \"tool\"\nexclude = [\"public.orders\"]\n",
            server.port, source.name, server.bin
        ),
    );
    place.ok(&["validate"]);
    let made = place.json(&["backup"]);
    assert_eq!(made["jobs"][0]["method"], "tool");
    let native = place.json(&["backup", "--method", "native"]);
    assert_eq!(native["jobs"][0]["method"], "native");
    assert_eq!(native["jobs"][0]["backup"]["rows"], 0, "the rows of orders are left out");
    let text = std::fs::read_to_string(place.path("kronos.toml")).unwrap();
    place.write("kronos.toml", &text.replace(&ca, &server.variable("WRONG_CA")));
    let refused = place.run(&["backup"]);
    assert!(refused.code == 1 && refused.err.contains("tls_ca"), "{refused:?}");
    place.write("kronos.toml", &text.replace("\"tool\"", "\"tol\""));
    let refused = place.run(&["backup"]);
    assert!(refused.code == 2 && refused.err.contains("tool"), "{refused:?}");
}

fn wrong(server: &Server) {
    let (place, source) = (Place::new(), shop(server));
    let whole = url(&source);
    let missing = whole.replace(&source.name, "not_there");
    for (args, code, said) in [
        (&["backup", &missing, "--to", "repo"][..], 5, "does not exist"),
        (&["backup", "postgres://x@127.0.0.1:1/y", "--to", "repo"], 1, "connection"),
        (&["backup", &format!("{whole}?tls=verify_full"), "--to", "repo"], 2, "verify-full"),
        (&["backup", &format!("{whole}?nonsense=1"), "--to", "repo"], 2, "unknown option"),
        (&["backup", "postgrse://x@h/y", "--to", "repo"], 2, "postgres"),
    ] {
        let ran = run(&place, server, args);
        assert!(ran.code == code && ran.err.contains(said), "{args:?}: {ran:?}");
    }
    // Not another engine's server, nor another engine's backup.
    place.database("app.db", 3);
    place.ok(&["backup", "app.db", "--to", "other"]);
    let crossed = run(&place, server, &["restore", "latest", "--from", "other", "--to", &whole]);
    assert!(crossed.code == 2 && crossed.err.contains("another engine"), "{crossed:?}");
    ok(&place, server, &["backup", &whole, "--to", "repo"]);
    let crossed = run(&place, server, &["restore", "latest", "--from", "repo", "--to", "x.db"]);
    assert!(crossed.code == 2 && !place.path("x.db").exists(), "{crossed:?}");
    // Without its programs, and with a job that has another database.
    let other = server.database("CREATE TABLE t(x int)");
    let taken = run(&place, server, &["backup", &url(&other), "--to", "repo", "--job", &source.name]);
    assert!(taken.code != 0 && taken.err.contains("another"), "{taken:?}");
}

/// A killed backup is none; a killed restore is none either, and leaves nothing for long.
fn killed(server: &Server) {
    let place = Place::new();
    let source = server.database(
        "CREATE TABLE t(id int PRIMARY KEY, x text); ALTER TABLE t ALTER x SET STORAGE PLAIN; \
         INSERT INTO t SELECT i, repeat(md5(i::text), 100) FROM generate_series(1, 15000) i",
    );
    let target = server.new_name();
    let (from, to) = (url(&source), url(&target));
    ok(&place, server, &["backup", &from, "--to", "repo"]);
    // Other moments each time.
    let moments = u64::from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos());
    for n in 0..8 {
        let pause = (moments + n * 104_729) % 900;
        for args in [&["backup", &from, "--to", "repo"][..], &["restore", "latest", "--from", "repo", "--to", &to]] {
            let mut child =
                place.command(args).envs(variables(server)).stderr(std::process::Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(pause));
            let done = child.try_wait().unwrap().is_some();
            let _ = child.kill();
            child.wait().unwrap();
            if args[0] == "restore" && !done {
                assert!(
                    !server.exists(&target.name) || target.all() == source.all(),
                    "a half restored database has the name"
                );
            }
            if server.exists(&target.name) {
                server.drop_database(&target.name);
            }
        }
    }
    ok(&place, server, &["check", "--from", "repo"]);
    server.no_session_is_left(&[&source.name, &target.name]);
    ok(&place, server, &["restore", "latest", "--from", "repo", "--to", &to]);
    assert_eq!(target.all(), source.all());
    let left = format!("SELECT count(*) FROM pg_database WHERE datname LIKE '{}\\_kronos%'", target.name);
    assert_eq!(server.sql("postgres", &left), "0");
}

/// The server notices nothing of it but that a session ends.
fn full_disk(server: &Server) {
    let place = Place::new();
    let small = Small::mount(place.path("small"), 4).unwrap();
    let source = server.database(
        "CREATE TABLE t(id int, x text); INSERT INTO t SELECT i, string_agg(md5((i * 50 + j)::text), '') FROM \
         generate_series(1, 200) i, generate_series(1, 50) j GROUP BY i",
    );
    for method in ["native", "tool"] {
        let to = format!("small/{method}");
        ok(&place, server, &["backup", &url(&source), "--to", &to, "--method", method]);
    }
    let before = source.all();
    source.sql(
        "INSERT INTO t SELECT i, string_agg(md5((i * 50 + j)::text), '') FROM generate_series(1000, 11000) i, generate_series(1, 50) j GROUP BY i",
    );
    for method in ["native", "tool"] {
        let repo = format!("small/{method}");
        let full = run(&place, server, &["backup", &url(&source), "--to", &repo, "--method", method]);
        assert!(full.code == 1 && full.err.contains("No space left on device"), "{full:?}");
        let listed = run(&place, server, &["list", "--from", &repo, "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
        assert_eq!(listed["backups"].as_array().map(Vec::len), Some(1));
        server.no_session_is_left(&[&source.name]);
    }
    small.grow(200);
    for method in ["native", "tool"] {
        let (repo, target) = (format!("small/{method}"), server.new_name());
        ok(&place, server, &["backup", &url(&source), "--to", &repo, "--method", method]);
        ok(&place, server, &["check", "--read-data", "--from", &repo]);
        ok(&place, server, &["restore", "latest", "--from", &repo, "--to", &url(&target)]);
        assert_eq!(target.all(), source.all());
        ok(&place, server, &["restore", "latest~1", "--from", &repo, "--to", &url(&target), "--replace"]);
        assert_eq!(target.all(), before);
    }
}

fn validate(server: &Server) {
    let place = Place::new();
    let role = server::fresh("reader");
    let source = server.database(&format!(
        "CREATE TABLE open(x int); CREATE TABLE secret(x int); CREATE TABLE mine(x int); ALTER TABLE mine ENABLE ROW LEVEL SECURITY; \
         SELECT lo_from_bytea(0, 'x'); CREATE ROLE {role} LOGIN PASSWORD 'r'; GRANT SELECT ON open, mine TO {role}"
    ));
    let config = format!(
        "[databases.shop]\nengine = \"postgres\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"{role}\"\npassword_env = \"READER\"\n\
         databases = [\"{}\"]\n\n[storages.here]\nurl = \"repo\"\n\n[jobs.nightly]\ndatabase = \"shop\"\nstorages = [\"here\"]\n",
        server.port, source.name
    );
    std::fs::write(place.path("kronos.toml"), config).unwrap();
    let told = || {
        let path = path(server);
        place.run_with(&[("READER", "r"), ("PATH", path.as_str())], &["validate"])
    };
    let found = told();
    assert_eq!(found.code, 1, "{found:?}");
    for part in [
        "tables cannot be read (public.secret)",
        "row-level security",
        "(public.mine)",
        "1 large objects cannot be read",
    ] {
        assert!(found.out.contains(part), "{part}: {found:?}");
    }
    source.sql(&format!("GRANT SELECT ON secret TO {role}; ALTER TABLE mine DISABLE ROW LEVEL SECURITY; SELECT lo_unlink(oid) FROM pg_largeobject_metadata"));
    let found = told();
    assert_eq!(found.code, 0, "{found:?}");
    assert!(found.out.contains("pg_dump "), "{found:?}");
    source.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

fn doctor(server: &Server) {
    let place = Place::new();
    let found = ok(&place, server, &["doctor", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&found.out).unwrap();
    assert_eq!(found["schema"], "kronos.doctor/1");
    assert!(found["engines"].as_array().unwrap().contains(&"postgres".into()));
    let dump = &found["programs"][0];
    assert_eq!((dump["name"].as_str(), dump["engine"].as_str()), (Some("pg_dump"), Some("postgres")));
    assert_eq!(dump["found"][0]["path"], format!("{}/pg_dump", server.bin));
}
