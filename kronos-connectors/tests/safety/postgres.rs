//! The cases of PostgreSQL, on real servers.

use kronos_core::Engine;
use libtest_mimic::Trial;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{Connection as _, Executor as _, Row as _};
use tokio::runtime::Runtime;

use crate::run::{self, Bench, on};

const SERVERS: [&str; 7] =
    ["postgres", "postgres12", "postgres13", "postgres14", "postgres16", "postgres17", "postgres18"];

pub(crate) fn trials() -> Vec<Trial> {
    let make = |server: &'static str| Postgres::new(server).map(|bench| Box::new(bench) as Box<dyn Bench>);
    SERVERS.into_iter().flat_map(|server| on(server, server == "postgres", Engine::POSTGRES, make)).collect()
}

struct Postgres {
    runtime: Runtime,
    options: PgConnectOptions,
    session: Option<PgConnection>,
    looks: Option<PgConnection>,
}

const DATABASE: &str = "kronos_safety";

impl Postgres {
    fn new(server: &str) -> Result<Self, String> {
        let variable = |name: &str| run::variable(server, name);
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(variable("PORT")?.parse().map_err(|_| "no port".to_owned())?)
            .username("postgres")
            .password(&variable("PASSWORD")?)
            .ssl_mode(PgSslMode::Disable);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Ok(Self { runtime, options, session: None, looks: None })
    }
}

/// What the other sessions of the server see of the database, and of the server's users.
const STATE: &str = "
    SELECT concat_ws(E'\n',
        (SELECT string_agg(c.oid::regclass || ' ' || c.relkind::text || ' ' || coalesce(c.relacl::text, '') || ' ' || c.relfilenode || ' '
            || CASE WHEN c.relkind = 'S' THEN query_to_xml('SELECT last_value, is_called FROM ' || c.oid::regclass, true, true, '')::text
                WHEN c.relkind IN ('r', 'm') THEN query_to_xml('SELECT * FROM ' || c.oid::regclass || ' AS x ORDER BY x::text', true, true, '')::text
                WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) ELSE '' END, E'\n' ORDER BY c.oid)
            FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname !~ '^(pg_|information_schema)'),
        (SELECT string_agg(a::text, E'\n' ORDER BY attrelid, attnum) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
            JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname !~ '^(pg_|information_schema)'),
        (SELECT string_agg(n::text, E'\n' ORDER BY oid) FROM pg_namespace n WHERE nspname !~ '^pg_(temp|toast_temp)'),
        (SELECT string_agg(p::text, E'\n' ORDER BY oid) FROM pg_proc p WHERE oid >= 16384),
        (SELECT string_agg(r::text, E'\n' ORDER BY oid) FROM pg_rewrite r WHERE oid >= 16384),
        (SELECT string_agg(t::text, E'\n' ORDER BY oid) FROM pg_trigger t),
        (SELECT string_agg(t::text, E'\n' ORDER BY oid) FROM pg_type t WHERE oid >= 16384),
        (SELECT string_agg(t::text, E'\n' ORDER BY oid) FROM pg_operator t WHERE oid >= 16384),
        (SELECT string_agg(c::text, E'\n' ORDER BY oid) FROM pg_constraint c WHERE oid >= 16384),
        (SELECT string_agg(d::text, E'\n' ORDER BY objoid, objsubid) FROM pg_description d WHERE objoid >= 16384),
        (SELECT string_agg(e::text, E'\n') FROM pg_extension e),
        (SELECT string_agg(l::text, E'\n') FROM pg_largeobject_metadata l),
        (SELECT string_agg(a::text, E'\n' ORDER BY oid) FROM pg_authid a),
        (SELECT string_agg(m::text, E'\n' ORDER BY roleid, member) FROM pg_auth_members m),
        (SELECT string_agg(s::text, E'\n' ORDER BY setdatabase, setrole) FROM pg_db_role_setting s),
        (SELECT string_agg(a::text, E'\n') FROM pg_default_acl a),
        (SELECT string_agg(datname, E'\n' ORDER BY datname) FROM pg_database),
        (SELECT string_agg(slot_name::text, E'\n') FROM pg_replication_slots),
        (SELECT string_agg(f::text, E'\n') FROM pg_file_settings f))";

impl Bench for Postgres {
    fn renew(&mut self) {
        let (session, looks, options) = (self.session.take(), &mut self.looks, &self.options);
        self.session = Some(self.runtime.block_on(async {
            if let Some(session) = session {
                session.close().await.unwrap();
            }
            if looks.is_none() {
                let mut first = PgConnection::connect_with(&options.clone().database("postgres")).await.unwrap();
                for sql in [format!("DROP DATABASE IF EXISTS {DATABASE}"), format!("CREATE DATABASE {DATABASE}")] {
                    first.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
                }
                *looks = Some(PgConnection::connect_with(&options.clone().database(DATABASE)).await.unwrap());
            }
            let looks = looks.as_mut().unwrap();
            let schemas = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)'";
            for row in sqlx::query(schemas).fetch_all(&mut *looks).await.unwrap() {
                let name: String = row.get(0);
                looks.execute(sqlx::AssertSqlSafe(format!("DROP SCHEMA {name} CASCADE"))).await.unwrap();
            }
            let anew = format!(
                "CREATE SCHEMA public; DROP ROLE IF EXISTS corpus_role; ALTER ROLE postgres RESET ALL; {}",
                include_str!("corpus/postgres.sql")
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(anew)).execute(&mut *looks).await.unwrap();
            PgConnection::connect_with(&options.clone().database(DATABASE)).await.unwrap()
        }));
    }

    fn run(&mut self, text: &str) -> Result<(), String> {
        let session = self.session.as_mut().unwrap();
        let text = text.to_owned();
        self.runtime.block_on(async {
            let ran = sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut *session).await;
            ran.map(drop).map_err(|error| error.to_string())
        })
    }

    fn state(&mut self) -> String {
        let looks = self.looks.as_mut().unwrap();
        self.runtime.block_on(async { sqlx::query(STATE).fetch_one(&mut *looks).await.unwrap().get(0) })
    }
}
