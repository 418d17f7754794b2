//! What comes back is what was there, as `pg_dump` sees it.

use kronos_connectors::postgres::Method;
use kronos_core::{Connector, RestoreOptions};
use libtest_mimic::Trial;

use crate::server::{
    Database, SERVERS, Server, assert_same, back_up, block_on, bring_back, on_each, quoted, repository,
};

pub(crate) fn trials() -> Vec<Trial> {
    [
        on_each("everything_comes_back", everything),
        on_each("everything_comes_back_by_tool", everything_by_tool),
        on_each("to_a_newer_server", to_newer),
        on_each("settings_of_the_database", settings),
        on_each("other_encodings", encodings),
        on_each("a_thousand_columns_and_a_large_row", large),
        on_each("rows_of_a_hash_of_enums", hashed_enums),
        on_each("an_extensions_configuration", configuration),
        on_each("a_sample_database", sample),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The media shop, without the commands by which its script makes a database of that name.
fn sample(server: &Server) {
    let script = include_str!("../../../examples/data/chinook-postgres.sql");
    let is_of_database =
        |line: &&str| ["DROP DATABASE", "CREATE DATABASE", "\\c "].iter().any(|word| line.starts_with(word));
    let script: Vec<&str> = script.lines().filter(|line| !is_of_database(line)).collect();
    let source = server.database(&script.join("\n"));
    assert_eq!(source.sql("SELECT count(*) FROM track"), "3503");
    for method in [Method::Native, Method::Tool] {
        block_on(async {
            let (repository, target) = (repository().await, server.new_name());
            back_up(&repository, &source.source_by(method)).await.unwrap();
            bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
            let expected = if server.name == "postgres18" { server.reference(&source).all() } else { source.all() };
            assert_same(&target.all(), &expected, &format!("{method:?}"));
        });
    }
}

pub(crate) fn roles(server: &Server) {
    for role in ["kt_owner", "kt_reader"] {
        let _ = server.try_sql("postgres", &format!("CREATE ROLE {role} NOLOGIN"));
    }
}

fn nasty(server: &Server) -> Database {
    roles(server);
    server.database(&server.nasty())
}

fn everything(server: &Server) {
    round_trip(server, Method::Native);
}

fn everything_by_tool(server: &Server) {
    round_trip(server, Method::Tool);
}

/// The numbers of partitions and the like are of no matter; those of large objects are.
fn round_trip(server: &Server, method: Method) {
    let source = nasty(server);
    let target = server.new_name();
    block_on(async {
        let repository = repository().await;
        let backup = back_up(&repository, &source.source_by(method)).await.unwrap();
        // Since 18 the names of some constraints depend on the order in which tables are made.
        let before = if server.name == "postgres18" { server.reference(&source).all() } else { source.all() };
        let report = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        assert!(report.outcome.warnings.is_empty(), "{:?}", report.outcome.warnings);
        assert_same(&target.all(), &before, &format!("{method:?}"));
        assert_eq!(target.sql("SELECT count(*) FROM app.mv1"), "6");
        if method == Method::Native {
            // Of the table of another server only the definition.
            assert_eq!(backup.warnings.len(), 1, "{:?}", backup.warnings);
            assert!(backup.rows >= Some(139), "{:?}", backup.rows);
        }
        // Statistics are there for the planner.
        let analyzed = "SELECT count(*) FROM pg_stats WHERE schemaname = 'app' AND tablename = 'everything'";
        if method == Method::Native {
            assert_ne!(target.sql(analyzed), "0");
        }
    });
}

fn to_newer(server: &Server) {
    let version = server.version();
    for newer in SERVERS.into_iter().filter_map(|name| Server::named(name).ok()).filter(|s| s.version() > version) {
        roles(&newer);
        let source = nasty(server);
        for method in [Method::Native, Method::Tool] {
            let target = newer.new_name();
            block_on(async {
                let repository = repository().await;
                back_up(&repository, &source.source_by(method)).await.unwrap();
                bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
            });
            let what = format!("{} to {} by {method:?}", server.name, newer.name);
            assert_same(&target.all(), &newer.reference(&source).all(), &what);
        }
    }
}

const SETTINGS: &str = "SELECT pg_encoding_to_char(encoding), datcollate, datctype, datconnlimit, datistemplate, \
    (SELECT rolname FROM pg_roles WHERE oid = datdba), (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(datacl) a), shobj_description(oid, 'pg_database'), \
    (SELECT string_agg(setrole::regrole || ':' || array_to_string(setconfig, ','), ' ' ORDER BY setrole) \
        FROM pg_db_role_setting WHERE setdatabase = d.oid) FROM pg_database d WHERE datname = current_database()";

fn settings(server: &Server) {
    roles(server);
    for method in [Method::Native, Method::Tool] {
        let source = server.database("CREATE TABLE t(x int)");
        let name = quoted(&source.name);
        source.sql(&format!(
            "ALTER DATABASE {name} SET search_path TO \"$user\", 'it''s', public; ALTER DATABASE {name} SET work_mem = '7MB'; \
             ALTER ROLE kt_reader IN DATABASE {name} SET statement_timeout = '3s'; ALTER DATABASE {name} OWNER TO kt_owner; \
             ALTER DATABASE {name} CONNECTION LIMIT 33; COMMENT ON DATABASE {name} IS 'it''s; ours'; \
             REVOKE CONNECT ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO kt_reader WITH GRANT OPTION; \
             ALTER DATABASE {name} SET default_transaction_read_only = on;"
        ));
        let before = source.sql(SETTINGS);
        block_on(async {
            let repository = repository().await;
            back_up(&repository, &source.source_by(method)).await.unwrap();
            let target = server.new_name();
            bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
            assert_eq!(target.sql(SETTINGS), before, "{method:?}");
            // Into one that is there and empty: what is its own stays, what was said of it comes.
            let there = server.database("");
            bring_back(&repository, &there.source(), &RestoreOptions::new()).await.unwrap();
            let found = there.sql(SETTINGS);
            assert!(found.contains("work_mem=7MB") && found.contains("statement_timeout=3s"), "{found}");
        });
    }
}

fn encodings(server: &Server) {
    for (encoding, sql) in [
        ("LATIN1", "CREATE TABLE t(x text); INSERT INTO t VALUES (chr(233)), (chr(255))"),
        ("SQL_ASCII", "CREATE TABLE t(x text); INSERT INTO t VALUES (E'\\xe9'), (E'\\xff\\xfe')"),
        ("EUC_JP", "CREATE TABLE t(x text); INSERT INTO t VALUES (convert_from('\\xa4a2', 'EUC_JP'))"),
    ] {
        let name = crate::server::fresh("encoding");
        let make =
            format!("CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
        server.sql("postgres", &make);
        let source = server.none(&name);
        source.sql(sql);
        let bytes = "SELECT pg_encoding_to_char(encoding), (SELECT string_agg(encode(textsend(x), 'hex'), ' ' ORDER BY x) FROM t) \
            FROM pg_database WHERE datname = current_database()";
        let seen = |database: &Database| {
            // What is sent to a client is converted; the bytes that are kept are not.
            database.sql(&bytes.replace("textsend(x)", "convert_to(x, getdatabaseencoding())"))
        };
        let before = seen(&source);
        for method in [Method::Native, Method::Tool] {
            let target = server.new_name();
            block_on(async {
                let repository = repository().await;
                back_up(&repository, &source.source_by(method)).await.unwrap();
                bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
            });
            assert_eq!(seen(&target), before, "{encoding} by {method:?}");
        }
    }
}

fn large(server: &Server) {
    let columns: Vec<String> = (0..1600).map(|n| format!("c{n} \"char\"")).collect();
    let source = server.database(&format!(
        "CREATE TABLE wide({}); INSERT INTO wide(c0, c1599) VALUES ('a', 'z'); CREATE TABLE tall(x text); \
         ALTER TABLE tall ALTER x SET STORAGE EXTERNAL; \
         INSERT INTO tall SELECT repeat(md5(i::text), 1000000) FROM generate_series(1, 3) i; INSERT INTO tall VALUES ('small')",
        columns.join(", ")
    ));
    let sums = "SELECT count(*), sum(length(x)), md5(string_agg(md5(x), '' ORDER BY length(x), x)), \
        (SELECT c0::text || c1599::text FROM wide) FROM tall";
    let before = source.sql(sums);
    let target = server.new_name();
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
    });
    assert_eq!(target.sql(sums), before);
}

/// Where a row belongs depends on numbers that are others in another database.
fn hashed_enums(server: &Server) {
    let source = server.database(
        "CREATE TYPE e AS ENUM ('a', 'b', 'c', 'd'); CREATE TABLE p(k e, v int) PARTITION BY HASH (k); \
         CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0); \
         CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1); \
         INSERT INTO p SELECT (ARRAY['a', 'b', 'c', 'd'])[i % 4 + 1]::e, i FROM generate_series(1, 400) i",
    );
    let sums = "SELECT count(*), md5(string_agg(k || ':' || v, ',' ORDER BY v)) FROM p";
    let before = source.sql(sums);
    block_on(async {
        let repository = repository().await;
        back_up(&repository, &source.source()).await.unwrap();
        // Types made before it give the enum other numbers each time.
        for _ in 0..4 {
            let target = server.new_name();
            bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
            assert_eq!(target.sql(sums), before);
        }
    });
}

/// Rows of an extension's own table that the user added.
fn configuration(server: &Server) {
    let source = server.database(
        "CREATE SCHEMA x; CREATE TABLE x.kept(k text PRIMARY KEY, builtin boolean NOT NULL DEFAULT false); CREATE SEQUENCE x.s; \
         CREATE EXTENSION pg_trgm; ALTER EXTENSION pg_trgm ADD TABLE x.kept; ALTER EXTENSION pg_trgm ADD SEQUENCE x.s; \
         INSERT INTO x.kept VALUES ('own', true), ('mine', false); \
         UPDATE pg_extension SET extconfig = ARRAY['x.kept'::regclass::oid], extcondition = ARRAY['WHERE NOT builtin'] \
             WHERE extname = 'pg_trgm';",
    );
    block_on(async {
        let run = kronos_core::RunContext::new();
        let dump = source.source().begin_dump(&kronos_core::DumpRequest::default(), &run).await.unwrap();
        let streams = dump.outline().streams.clone();
        let at = streams.iter().position(|s| s.name.ends_with("/x.kept")).unwrap();
        let stream = dump.open(kronos_core::StreamId(u32::try_from(at).unwrap())).await.unwrap();
        assert_eq!(stream.collect().await.unwrap().0, b"mine\tf\n");
        assert!(!streams.iter().any(|s| s.name.contains("x.s")), "a sequence that is not said to be the user's");
        dump.abort().await;
    });
}
