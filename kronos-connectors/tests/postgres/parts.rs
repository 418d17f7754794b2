//! Parts of a backup, what is there already, who owns what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kronos_connectors::postgres::{Method, PostgresSource};
use kronos_core::{Connector, ErrorKind, RestoreOptions, Secret};
use libtest_mimic::Trial;

use crate::cluster::Cluster;
use crate::fidelity::roles;
use crate::server::{Database, Server, assert_same, back_up, block_on, bring_back, fresh, on_each, repository};

pub(crate) fn trials() -> Vec<Trial> {
    [
        on_each("only_a_table", only_a_table),
        on_each("only_a_part_of_a_table", only_a_part),
        on_each("only_what_has_no_rows", only_without_rows),
        on_each("statistics_that_cannot_be_gathered", no_statistics),
        on_each("subscriptions", subscriptions),
        on_each("roles_that_someone_unknown_granted", granted_by),
        on_each("only_a_database", only_a_database),
        on_each("all_databases_of_a_server", all),
        on_each("replacing_a_database_in_use", replacing),
        on_each("a_failed_replacement_leaves_the_old", failed_replacement),
        on_each("into_an_empty_database", in_place),
        on_each("without_owners_and_rights", without_owners),
        on_each("roles_are_made_or_left_alone", new_roles),
        on_each("who_may_not_read_is_told", privileges),
        on_each("what_a_killed_restore_left_is_removed", remains),
        on_each("plain_files_for_psql", export),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn only<const N: usize>(patterns: [&str; N]) -> RestoreOptions {
    let mut options = RestoreOptions::new();
    options.only = patterns.into_iter().map(str::to_owned).collect();
    options
}

fn shop(server: &Server) -> Database {
    server.database(
        "CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('a'); CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TABLE s.customers(id serial PRIMARY KEY, m s.mood); INSERT INTO s.customers(m) SELECT 'a' FROM generate_series(1, 10); \
         CREATE TABLE s.orders(id serial PRIMARY KEY, c int REFERENCES s.customers, x int CHECK (x > 0)); \
         CREATE INDEX by_x ON s.orders(x); CREATE TRIGGER t BEFORE INSERT ON s.orders FOR EACH ROW EXECUTE FUNCTION s.f(); \
         COMMENT ON COLUMN s.orders.x IS 'an x'; INSERT INTO s.orders(c, x) SELECT 1, i FROM generate_series(1, 20) i; \
         CREATE TABLE s.parts(k int, v int) PARTITION BY LIST (k); CREATE TABLE s.parts1 PARTITION OF s.parts FOR VALUES IN (1); \
         CREATE TABLE s.parts2 PARTITION OF s.parts FOR VALUES IN (2); INSERT INTO s.parts VALUES (1, 1), (2, 2); \
         CREATE VIEW s.v AS SELECT * FROM s.orders; SELECT lo_from_bytea(0, 'x')",
    )
}

const RELATIONS: &str = "SELECT string_agg(relname || ':' || relkind::text, ' ' ORDER BY relname) FROM pg_class \
    WHERE relnamespace = 's'::regnamespace";

fn only_a_table(server: &Server) {
    let source = shop(server);
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        let target = server.new_name();
        let report = bring_back(&repository, &target.source(), &only(["s.orders"])).await.unwrap();
        assert_eq!(target.sql(RELATIONS), "by_x:i orders:r orders_id_seq:S orders_pkey:i");
        assert_eq!(target.sql("SELECT count(*), max(x) FROM s.orders"), "20|20");
        assert_eq!(target.sql("INSERT INTO s.orders(x) VALUES (1) RETURNING id"), "21");
        assert_eq!(
            target.sql(
                "SELECT col_description('s.orders'::regclass, 3), (SELECT count(*) FROM pg_trigger WHERE tgname = 't')"
            ),
            "an x|1"
        );
        assert_eq!(report.outcome.warnings.len(), 1, "the foreign key: {:?}", report.outcome.warnings);

        let target = server.new_name();
        bring_back(&repository, &target.source(), &only(["s.orders", "s.customers"])).await.unwrap();
        assert_eq!(target.sql("SELECT count(*) FROM pg_constraint WHERE contype = 'f'"), "1");

        // A partitioned table is all of its parts; a part alone is a table of its own.
        let target = server.new_name();
        bring_back(&repository, &target.source(), &only(["s.parts"])).await.unwrap();
        assert_eq!(target.sql(RELATIONS), "parts:p parts1:r parts2:r");
        assert_eq!(target.sql("SELECT sum(v) FROM s.parts"), "3");
        let target = server.new_name();
        bring_back(&repository, &target.source(), &only(["s.parts2"])).await.unwrap();
        assert_eq!(target.sql(RELATIONS), "parts2:r");

        let error = bring_back(&repository, &server.new_name().source(), &only(["s.nothing"])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

/// Views, foreign tables and partitioned tables without parts can be chosen, too.
fn only_without_rows(server: &Server) {
    let source = server.database(
        "CREATE SCHEMA s; CREATE TABLE s.t(a int PRIMARY KEY); INSERT INTO s.t SELECT generate_series(1, 5); \
         CREATE VIEW s.v AS SELECT a FROM s.t WHERE a > 3; CREATE VIEW s.w AS SELECT a + 1 AS b FROM s.v; \
         CREATE MATERIALIZED VIEW s.m AS SELECT sum(b) AS c FROM s.w; CREATE UNIQUE INDEX ON s.m (c); \
         CREATE TABLE s.parts(k int) PARTITION BY LIST (k); CREATE TABLE s.other(); \
         CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1'); \
         CREATE FOREIGN TABLE s.f(a int) SERVER far",
    );
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        // What a view needs is there, and its rows are missing unless they were chosen.
        for (patterns, relations, warnings) in [
            (vec!["s.w"], "t:r v:v w:v", 1),
            (vec!["s.w", "s.t"], "t:r t_pkey:i v:v w:v", 0),
            (vec!["s.parts"], "parts:p", 0),
            (vec!["s.f"], "f:f", 0),
        ] {
            let target = server.new_name();
            let mut options = RestoreOptions::new();
            options.only = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            let report = bring_back(&repository, &target.source(), &options).await.unwrap();
            assert_eq!(target.sql(RELATIONS), relations, "{patterns:?}");
            let told = report.outcome.warnings.iter().filter(|line| line.contains("without its rows")).count();
            assert_eq!(told, warnings, "{:?}", report.outcome.warnings);
        }
        let target = server.new_name();
        bring_back(&repository, &target.source(), &only(["s.m", "s.t"])).await.unwrap();
        assert_eq!(target.sql("SELECT c FROM s.m"), "11", "it was refreshed");
        assert_eq!(target.sql(RELATIONS), "m:m m_c_idx:i t:r t_pkey:i v:v w:v");
    });
}

/// A part of a partitioned table is a table with its own keys.
fn only_a_part(server: &Server) {
    let source = server.database(
        "CREATE TABLE p(a int PRIMARY KEY, b int) PARTITION BY RANGE (a); CREATE INDEX ON p (b); \
         CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10); INSERT INTO p VALUES (1, 2)",
    );
    block_on(async {
        let (repository, target) = (repository().await, server.new_name());
        back_up(&repository, &source.source()).await.unwrap();
        let report = bring_back(&repository, &target.source(), &only(["public.p1"])).await.unwrap();
        assert!(report.outcome.warnings.is_empty(), "{:?}", report.outcome.warnings);
        let indexes =
            "SELECT string_agg(indexname, ' ' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'";
        assert_eq!(target.sql(indexes), "p1_b_idx p1_pkey");
    });
}

/// Statistics are no part of the backup: that they cannot be gathered is told.
fn no_statistics(server: &Server) {
    let source = server.database(
        "CREATE EXTENSION postgres_fdw; CREATE SERVER old FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1'); \
         CREATE USER MAPPING FOR CURRENT_USER SERVER old; CREATE TABLE log(a int); INSERT INTO log VALUES (1); \
         CREATE FOREIGN TABLE log_2019() INHERITS (log) SERVER old; \
         CREATE FUNCTION number(text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1::int'; \
         CREATE TABLE t(a text); CREATE INDEX ON t (length(a)) WHERE number(a) > 0; ALTER TABLE t SET (autovacuum_enabled = off)",
    );
    if server.version() >= 140_000 {
        source.sql("DROP INDEX t_length_idx; INSERT INTO t VALUES ('x'); CREATE STATISTICS s ON (number(a)) FROM t");
    }
    for method in [Method::Native, Method::Tool] {
        block_on(async {
            let (repository, target) = (repository().await, server.new_name());
            back_up(&repository, &source.source_by(method)).await.unwrap();
            let report = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
            let warnings = report.outcome.warnings.join("\n");
            assert!(warnings.contains("\"log\", which has foreign tables below it"), "{method:?}: {warnings}");
            assert!(
                warnings.contains("could be gathered of \"public\".\"t\"") || server.version() < 140_000,
                "{method:?}: {warnings}"
            );
            assert_eq!(target.sql("SELECT count(*) FROM ONLY log"), "1");
        });
    }
}

/// A subscription would keep its database from being dropped.
fn subscriptions(server: &Server) {
    let source = server.database(
        "CREATE TABLE t(a int); CREATE SUBSCRIPTION sub CONNECTION 'dbname=nosuch' PUBLICATION p WITH (connect = false);",
    );
    let (target, left) = (server.new_name(), "SELECT count(*) FROM pg_database WHERE datname LIKE");
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        for _ in 0..3 {
            let options = RestoreOptions::new().with_replace();
            let report = bring_back(&repository, &target.source(), &options).await.unwrap();
            assert!(report.outcome.warnings.is_empty(), "{:?}", report.outcome.warnings);
            assert_eq!(server.sql("postgres", &format!("{left} '{}%'", target.name)), "1");
            assert_eq!(target.sql("SELECT subname, subenabled FROM pg_subscription JOIN pg_database d ON d.oid = subdbid AND datname = current_database()"), "sub|f");
        }
        // One that fails, and has to be removed.
        source.sql("CREATE TABLE u(x int); CREATE VIEW v AS SELECT 1 / count(*) AS one FROM u; CREATE MATERIALIZED VIEW m AS SELECT 1 / count(*) FROM u WITH NO DATA; \
             INSERT INTO u VALUES (1); REFRESH MATERIALIZED VIEW m; DELETE FROM u");
        back_up(&repository, &source.source()).await.unwrap();
        let other = server.new_name();
        bring_back(&repository, &other.source(), &RestoreOptions::new()).await.unwrap_err();
        assert_eq!(server.sql("postgres", &format!("{left} '{}%'", other.name)), "0");
    });
    for database in [&source, &target] {
        database.sql(
            "ALTER SUBSCRIPTION sub DISABLE; ALTER SUBSCRIPTION sub SET (slot_name = NONE); DROP SUBSCRIPTION sub",
        );
    }
}

fn only_a_database(server: &Server) {
    let (one, two) = (server.database("CREATE TABLE a(x int)"), server.database("CREATE TABLE b(x int)"));
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &server.source([&one.name, &two.name])).await.unwrap();
        let target = server.new_name();
        let error = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        bring_back(&repository, &target.source(), &only([&two.name])).await.unwrap();
        assert_eq!(target.all(), two.all());
        let (before, one_name, two_name) = ((one.all(), two.all()), one.name.clone(), two.name.clone());
        drop((one, two));
        bring_back(&repository, &server.source([]), &RestoreOptions::new()).await.unwrap();
        let (one, two) = (server.none(&one_name), server.none(&two_name));
        assert_eq!((one.all(), two.all()), before);
    });
}

fn all(server: &Server) {
    // Elsewhere databases come and go.
    let cluster = Cluster::new(server);
    let server = &cluster.server;
    let one = server.database("CREATE TABLE a(x int)");
    let template = server.database("");
    let closed = server.database("");
    let sql = format!(
        "ALTER DATABASE {} IS_TEMPLATE true; ALTER DATABASE {} ALLOW_CONNECTIONS false",
        template.name, closed.name
    );
    server.sql("postgres", &sql);
    block_on(async {
        let names: Vec<String> = server.source([]).databases().await.unwrap().into_iter().map(|d| d.name).collect();
        assert!(
            names.contains(&one.name) && !names.contains(&template.name) && !names.contains(&closed.name),
            "{names:?}"
        );
        assert!(!names.contains(&"template1".to_owned()));
    });
    server.sql("postgres", &format!("ALTER DATABASE {} IS_TEMPLATE false", template.name));
}

fn replacing(server: &Server) {
    let source = shop(server);
    let target = server.database("CREATE TABLE old(x int); INSERT INTO old VALUES (1)");
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        let error = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        // Someone who is at work, and others who come again as soon as they are thrown out.
        let mut user =
            server.program("psql").args(["-X", "-d", &target.name, "-c", "SELECT pg_sleep(600)"]).spawn().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (name, other, stopped) = (target.name.clone(), server.clone(), stop.clone());
        let insistent = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let _ = other.try_sql(&name, "SELECT pg_sleep(600)");
            }
        });
        std::thread::sleep(Duration::from_millis(300));
        bring_back(&repository, &target.source(), &RestoreOptions::new().with_replace()).await.unwrap();
        stop.store(true, Ordering::Relaxed);
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname =";
        server.sql("postgres", &format!("{end} '{}'", target.name));
        insistent.join().unwrap();
        assert!(!user.wait().unwrap().success(), "whoever was in the old database is out");
        assert_eq!(target.all(), source.all());
        assert_eq!(beside(server, &target.name), "0");
    });
}

/// Databases that were made beside one.
fn beside(server: &Server, name: &str) -> String {
    server.sql("postgres", &format!("SELECT count(*) FROM pg_database WHERE datname LIKE '{name}\\_kronos%'"))
}

fn failed_replacement(server: &Server) {
    // It calls a function that reads a table that has no rows yet when its own are written.
    let source = server.database(
        "CREATE TABLE a(x int); INSERT INTO a VALUES (1); CREATE TABLE zz(x int); INSERT INTO zz VALUES (1); \
         CREATE FUNCTION f(i int) RETURNS boolean LANGUAGE sql AS 'SELECT i IN (SELECT x FROM public.zz)'; \
         CREATE TABLE b(x int CHECK (f(x))); INSERT INTO b VALUES (1); \
         DELETE FROM zz",
    );
    let target = server.database("CREATE TABLE old(x int); INSERT INTO old VALUES (1)");
    let before = target.all();
    block_on(async {
        let repository = repository().await;
        for method in [Method::Native, Method::Tool] {
            back_up(&repository, &source.source_by(method)).await.unwrap();
            let options = RestoreOptions::new().with_replace();
            let error = bring_back(&repository, &target.source(), &options).await.unwrap_err();
            assert!(error.to_string().contains("violates check constraint"), "{error:?}");
            assert_eq!(target.all(), before);
            assert_eq!(beside(server, &target.name), "0");
            let new = server.new_name();
            bring_back(&repository, &new.source(), &RestoreOptions::new()).await.unwrap_err();
            assert!(!server.exists(&new.name) && beside(server, &new.name) == "0");
            let empty = server.database("");
            let error = bring_back(&repository, &empty.source(), &RestoreOptions::new()).await.unwrap_err();
            assert!(error.context("half done").is_some_and(|half| half.contains(&empty.name)), "{error:?}");
        }
    });
}

fn in_place(server: &Server) {
    let (source, target) = (shop(server), server.database(""));
    let oid = format!("SELECT oid FROM pg_database WHERE datname = '{}'", target.name);
    let before = server.sql("postgres", &oid);
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
    });
    assert_eq!(target.all(), source.all());
    assert_eq!(server.sql("postgres", &oid), before, "the database is the one that was there");
}

fn user(server: &Server, name: &str, what: &str) {
    let password = server.password.replace('\'', "''");
    server.sql("postgres", &format!("CREATE ROLE {name} LOGIN {what} PASSWORD '{password}'"));
}

fn without_owners(server: &Server) {
    roles(server);
    let creator = fresh("creator");
    user(server, &creator, "CREATEDB");
    let source = server.database("CREATE TABLE t(x int); INSERT INTO t VALUES (1); ALTER TABLE t OWNER TO kt_owner; GRANT SELECT ON t TO kt_reader");
    let target = server.new_name();
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        let mut settings = server.settings([&target.name]);
        settings.user.clone_from(&creator);
        let mut options = RestoreOptions::new();
        (options.owners, options.privileges) = (false, false);
        bring_back(&repository, &PostgresSource::new(settings).unwrap(), &options).await.unwrap();
    });
    let found = target.sql("SELECT relowner::regrole, relacl IS NULL, (SELECT datdba::regrole FROM pg_database WHERE datname = current_database()) FROM pg_class WHERE relname = 't'");
    assert_eq!(found, format!("{creator}|t|{creator}"));
    drop(target);
    server.sql("postgres", &format!("DROP ROLE {creator}"));
}

/// Passwords and memberships of those that were missing; nothing of those that were there.
fn new_roles(server: &Server) {
    let (group, member, there) = (fresh("group"), fresh("mem"), fresh("there"));
    server.sql(
        "postgres",
        &format!(
            "CREATE ROLE {group} NOLOGIN; CREATE ROLE \"{member} x\" LOGIN PASSWORD 'pw' CONNECTION LIMIT 3 VALID UNTIL '2040-01-01'; \
             GRANT {group} TO \"{member} x\" WITH ADMIN OPTION; CREATE ROLE {there} LOGIN PASSWORD 'old'; \
             ALTER ROLE \"{member} x\" SET search_path TO 'a b', c; COMMENT ON ROLE {group} IS 'it''s; a group'"
        ),
    );
    let source = server.database(&format!(
        "CREATE TABLE t(x int); ALTER TABLE t OWNER TO \"{member} x\"; GRANT SELECT ON t TO {group}, {there}"
    ));
    let seen = format!(
        "SELECT rolname, rolcanlogin, rolconnlimit, rolvaliduntil, rolpassword, shobj_description(oid, 'pg_authid'), \
            (SELECT setconfig FROM pg_db_role_setting WHERE setrole = a.oid AND setdatabase = 0), \
            (SELECT array_agg(roleid::regrole::text || m.admin_option) FROM pg_auth_members m WHERE member = a.oid) \
         FROM pg_authid a WHERE rolname IN ('{group}', '{member} x') ORDER BY 1"
    );
    let before = server.sql("postgres", &seen);
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        drop(source);
        server.sql(
            "postgres",
            &format!("DROP ROLE {group}; DROP ROLE \"{member} x\"; ALTER ROLE {there} PASSWORD 'new'"),
        );
        let own = server.sql("postgres", &format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{there}'"));
        let target = server.new_name();
        let report = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        assert!(report.outcome.created.iter().any(|line| line.contains(&group)), "{:?}", report.outcome.created);
        assert_eq!(server.sql("postgres", &seen), before);
        assert_eq!(
            server.sql("postgres", &format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{there}'")),
            own
        );
    });
    server.sql("postgres", &format!("DROP ROLE {group}; DROP ROLE \"{member} x\"; DROP ROLE {there}"));
}

fn privileges(server: &Server) {
    let reader = fresh("reader");
    user(server, &reader, "");
    let source =
        server.database("CREATE TABLE t(x int); CREATE TABLE r(x int); ALTER TABLE r ENABLE ROW LEVEL SECURITY");
    let by = |password: &str| {
        let mut settings = server.settings([&source.name]);
        settings.user.clone_from(&reader);
        settings.password = Some(Secret::new(password));
        PostgresSource::new(settings).unwrap()
    };
    block_on(async {
        let repository = repository().await;
        let error = back_up(&repository, &by(&server.password)).await.unwrap_err();
        assert_eq!((error.kind(), error.context("tables")), (ErrorKind::PermissionDenied, Some("public.r, public.t")));
        source.sql(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}"));
        let error = back_up(&repository, &by(&server.password)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.context("tables")),
            (ErrorKind::PermissionDenied, Some("public.r")),
            "{error:?}"
        );
        assert!(error.context("hint").is_some_and(|hint| hint.contains("BYPASSRLS")));
        source.sql("ALTER TABLE r DISABLE ROW LEVEL SECURITY");
        back_up(&repository, &by(&server.password)).await.unwrap();
        let error =
            bring_back(&repository, &by(&server.password), &RestoreOptions::new().with_replace()).await.unwrap_err();
        assert!(error.to_string().contains("CREATEDB"), "{error:?}");
    });
    source.sql(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}"));
}

fn remains(server: &Server) {
    let (source, target) = (server.database("CREATE TABLE t(x int)"), server.new_name());
    let named = |token: &str| format!("{}_kronos_{token}", target.name);
    let (left, unmarked, used, foreign) = (named("12345678"), named("0000aaaa"), named("0000bbbb"), named("mine"));
    for name in [&left, &unmarked, &used, &foreign] {
        server.sql("postgres", &format!("CREATE DATABASE {name}"));
    }
    server.sql(&left, &format!("CREATE TABLE t(x int); COMMENT ON DATABASE {left} IS 'kronos: being restored'"));
    server.sql(&used, "CREATE TABLE t(x int)");
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
    });
    assert!(!server.exists(&left) && !server.exists(&unmarked), "databases that a restore left");
    assert!(server.exists(&foreign) && server.exists(&used), "those that only look like it");
    server.sql("postgres", &format!("DROP DATABASE {foreign}"));
    server.sql("postgres", &format!("DROP DATABASE {used}"));
}

fn export(server: &Server) {
    roles(server);
    let source = server.database(&server.nasty());
    block_on(async {
        for method in [Method::Native, Method::Tool] {
            let repository = repository().await;
            back_up(&repository, &source.source_by(method)).await.unwrap();
            let directory = tempfile::tempdir().unwrap();
            let place = directory.path().join("out");
            let mut settings = server.settings([]);
            settings.export = Some(place.clone());
            let files = PostgresSource::new(settings).unwrap();
            bring_back(&repository, &files, &RestoreOptions::new()).await.unwrap();
            let error = bring_back(&repository, &files, &RestoreOptions::new()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
            let target = server.database("");
            let (program, arguments, inside) = match method {
                Method::Native => ("psql", vec!["-X", "-q", "-f", "restore.sql"], place.join(&source.name)),
                Method::Tool => ("pg_restore", vec![], place.clone()),
            };
            let mut command = server.program(program);
            command.args(arguments).args(["-d", &target.name]).current_dir(inside);
            if method == Method::Tool {
                command.arg(format!("{}.dump", source.name));
            }
            let done = command.output().unwrap();
            let said = String::from_utf8_lossy(&done.stderr);
            // A program of 17 goes on after what an older server does not know, and says so.
            let is_newer = method == Method::Tool && said.contains("transaction_timeout");
            assert!(done.status.success() || is_newer, "{said}");
            let before = if server.name == "postgres18" { server.reference(&source).all() } else { source.all() };
            assert_same(&target.all(), &before, &format!("{method:?}"));
            assert!(std::fs::read_to_string(place.join("globals.sql")).unwrap().contains("CREATE ROLE kt_owner"));
        }
    });
}

/// Who granted a role is not needed for anything else.
fn granted_by(server: &Server) {
    let (a, b, c) = (fresh("group"), fresh("member"), fresh("grantor"));
    server.sql("postgres", &format!("CREATE ROLE {a}; CREATE ROLE {b}; CREATE ROLE {c} CREATEROLE"));
    if server.version() >= 160_000 {
        server.sql("postgres", &format!("GRANT {a} TO {c} WITH ADMIN OPTION"));
    }
    server.sql("postgres", &format!("SET ROLE {c}; GRANT {a} TO {b}"));
    let sql = format!("CREATE TABLE t(x int); ALTER TABLE t OWNER TO {a}; GRANT SELECT ON t TO {b}");
    let source = server.database(&sql);
    let member =
        format!("SELECT count(*) FROM pg_auth_members WHERE roleid = '{a}'::regrole AND member = '{b}'::regrole");
    block_on(async {
        let (repository, target) = (repository().await, server.new_name());
        back_up(&repository, &source.source()).await.unwrap();
        server.drop_database(&source.name);
        server.sql("postgres", &format!("DROP ROLE {b}; DROP ROLE {a}; DROP ROLE {c}"));
        bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        assert_eq!(server.sql("postgres", &member), "1");
        server.drop_database(&target.name);
    });
    server.sql("postgres", &format!("DROP ROLE {b}; DROP ROLE {a}"));
}
