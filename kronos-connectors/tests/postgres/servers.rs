//! Whole servers: one that comes back on a fresh machine, a standby, one that is restarted.

use std::time::Duration;

use kronos_connectors::postgres::Method;
use kronos_core::{Connector, ErrorKind, RestoreOptions, RunContext, list};
use libtest_mimic::Trial;

use crate::cluster::Cluster;
use crate::failures::{SUM, assert_each_is_whole, big};
use crate::server::{Server, assert_same, back_up, block_on, bring_back, on_each, repository};

pub(crate) fn trials() -> Vec<Trial> {
    [
        on_each("a_whole_server_comes_back_on_a_fresh_one", whole),
        on_each("a_standby_is_backed_up", standby),
        on_each("a_server_that_restarts_in_the_middle", restarted),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const ROLES: &str = "CREATE ROLE staff; CREATE ROLE \"Ann Á\" LOGIN PASSWORD 'x y''z' VALID UNTIL '2030-01-01' CONNECTION LIMIT 3 IN ROLE staff; \
    CREATE ROLE chief LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS NOINHERIT; GRANT staff TO chief WITH ADMIN OPTION; \
    ALTER ROLE chief SET search_path = 'a', 'b c'; ALTER ROLE \"Ann Á\" SET work_mem = '7MB'; COMMENT ON ROLE staff IS 'who works here';";

/// Roles, tablespaces, several databases with all that they are made of.
fn whole(server: &Server) {
    for method in [Method::Native, Method::Tool] {
        let source = Cluster::new(server);
        let place = source.directory("fast disks");
        source.server.sql("postgres", ROLES);
        source.server.sql(
            "postgres",
            &format!("CREATE TABLESPACE fast OWNER chief LOCATION '{place}' WITH (random_page_cost = 1.1)"),
        );
        source
            .server
            .sql("postgres", "GRANT CREATE ON TABLESPACE fast TO staff; COMMENT ON TABLESPACE fast IS 'quick'");
        crate::fidelity::roles(&source.server);
        let nasty = source.server.database_named("nasty", &server.nasty());
        let shop = source.server.database_named(
            "shop",
            "CREATE SCHEMA s AUTHORIZATION chief; CREATE TABLE s.on_fast(id int PRIMARY KEY USING INDEX TABLESPACE fast, x text) TABLESPACE fast; \
             INSERT INTO s.on_fast SELECT i, md5(i::text) FROM generate_series(1, 1000) i; ALTER TABLE s.on_fast OWNER TO \"Ann Á\"; \
             GRANT SELECT ON s.on_fast TO staff WITH GRANT OPTION; ALTER DEFAULT PRIVILEGES FOR ROLE chief GRANT SELECT ON TABLES TO staff; \
             ALTER DATABASE shop SET timezone = 'Asia/Kolkata'; ALTER ROLE staff IN DATABASE shop SET work_mem = '9MB'; \
             ALTER DATABASE shop OWNER TO chief; COMMENT ON DATABASE shop IS 'what we sell'; GRANT CONNECT ON DATABASE shop TO staff; \
             REVOKE TEMPORARY ON DATABASE shop FROM PUBLIC;",
        );
        source.server.sql("postgres", "CREATE DATABASE on_fast TABLESPACE fast CONNECTION LIMIT 7");
        let all = |cluster: &Cluster| {
            let of = |name: &str| (cluster.server.schema(name), cluster.server.rows(name));
            (cluster.globals(), [of("nasty"), of("shop"), of("on_fast")])
        };
        let databases = |cluster: &Cluster| {
            cluster.server.sql(
                "postgres",
                "SELECT datname, pg_get_userbyid(datdba), datconnlimit, spcname, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a), shobj_description(d.oid, 'pg_database'), \
                    (SELECT array_agg(setconfig ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid) \
                    FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname <> 'postgres' ORDER BY 1",
            )
        };
        let (mut expected, expected_databases) = (all(&source), databases(&source));
        if server.name == "postgres18" {
            // See `round_trip`: the names of some constraints depend on the order.
            crate::fidelity::roles(server);
            expected.1[0] = server.reference(&nasty).all();
        }
        block_on(async {
            let repository = repository().await;
            back_up(&repository, &source.server.source_by([], method)).await.unwrap();
            // The directory of the tablespace cannot belong to two clusters at a time.
            std::mem::forget([nasty, shop]);
            source.stop("fast");
            std::fs::remove_dir_all(&place).unwrap();
            source.directory("fast disks");
            let target = Cluster::new(server);
            let empty = target.server.source_by([], method);
            let report = bring_back(&repository, &empty, &RestoreOptions::new()).await.unwrap();
            assert!(report.outcome.warnings.is_empty(), "{:?}", report.outcome.warnings);
            let found = all(&target);
            assert_eq!(found.0, expected.0, "{method:?}: roles and tablespaces");
            for (found, expected) in found.1.iter().zip(&expected.1) {
                assert_same(found, expected, &format!("{method:?}"));
            }
            assert_eq!(databases(&target), expected_databases, "{method:?}");
        });
    }
}

/// All but the rows of unlogged tables, which no standby has.
fn standby(server: &Server) {
    let primary = Cluster::new(server);
    let source = primary.server.database_named(
        "shop",
        "CREATE TABLE t(id int GENERATED ALWAYS AS IDENTITY, x text); INSERT INTO t(x) SELECT repeat(md5(i::text), 50) FROM generate_series(1, 5000) i; \
         CREATE UNLOGGED TABLE u(x int); INSERT INTO u VALUES (1); SELECT lo_from_bytea(4711, 'large');",
    );
    let standby = Cluster::standby(&primary);
    let follows = || standby.server.sql("shop", "SELECT count(*) FROM t") == "5000";
    assert!((0..100).any(|_| follows() || {
        std::thread::sleep(Duration::from_millis(100));
        false
    }));
    for method in [Method::Native, Method::Tool] {
        block_on(async {
            let repository = repository().await;
            let reading = standby.server.source_by(["shop"], method);
            let found = reading.preflight().await.unwrap();
            assert!(
                found.missing.is_empty() && found.notes.iter().any(|note| note.contains("is a standby")),
                "{found:?}"
            );
            let made = back_up(&repository, &reading).await.unwrap();
            if method == Method::Native {
                assert!(made.warnings.iter().any(|w| w.contains("public.u is unlogged")), "{:?}", made.warnings);
            }
            let target = primary.server.none(&format!("back_{method:?}").to_lowercase());
            bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
            assert_eq!(target.sql("SELECT count(*) FROM u"), "0");
            target.sql("INSERT INTO u VALUES (1)");
            assert_same(&target.all(), &source.all(), &format!("{method:?}"));
        });
    }
}

/// Nothing is committed that is not whole, and the next backup works.
fn restarted(server: &Server) {
    let cluster = Cluster::new(server);
    let source = big(&cluster.server);
    let expected = source.sql(SUM);
    block_on(async {
        let (repository, run) = (repository().await, RunContext::new());
        let mut committed = 0;
        for (n, pause) in [0, 15, 40, 80, 140, 220, 330, 500].into_iter().enumerate() {
            let method = if n % 3 == 2 { Method::Tool } else { Method::Native };
            let reading = source.source_by(method);
            let backup = async { back_up(&repository, &reading).await };
            let restart = async {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                tokio::task::block_in_place(|| {
                    cluster.stop(if n % 2 == 0 { "immediate" } else { "fast" });
                    cluster.start();
                });
            };
            match tokio::join!(backup, restart).0 {
                Ok(_) => committed += 1,
                Err(error) => {
                    let kinds = [ErrorKind::ConnectionFailed, ErrorKind::ToolFailed];
                    assert!(kinds.contains(&error.kind()), "{method:?}, {pause} ms: {error:?}");
                }
            }
            // Methods share no streams.
            let here = list(&repository, None, &run).await.unwrap().backups;
            assert_eq!(here.len(), committed, "{method:?}, {pause} ms");
        }
        back_up(&repository, &source.source()).await.unwrap();
        assert_each_is_whole(&repository, &cluster.server, &expected).await;
    });
}
