//! The cases of MySQL and MariaDB, on real servers.

use std::fmt::Write as _;

use kronos_core::Engine;
use libtest_mimic::Trial;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder, Row};
use tokio::runtime::Runtime;

use crate::run::{self, Bench, on};

const SERVERS: [&str; 3] = ["mariadb", "mariadb11", "mysql"];

pub(crate) fn trials() -> Vec<Trial> {
    let make = |server: &'static str| Mysql::new(server).map(|bench| Box::new(bench) as Box<dyn Bench>);
    SERVERS.into_iter().flat_map(|server| on(server, server == "mariadb", Engine::MYSQL, make)).collect()
}

struct Mysql {
    runtime: Runtime,
    options: OptsBuilder,
    session: Option<Conn>,
    looks: Option<Conn>,
}

const DATABASE: &str = "kronos_safety";

impl Mysql {
    fn new(server: &str) -> Result<Self, String> {
        let variable = |name: &str| run::variable(server, name);
        let options = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(variable("PORT")?.parse().map_err(|_| "no port".to_owned())?)
            .user(Some("root"))
            .pass(Some(variable("PASSWORD")?))
            .prefer_socket(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Ok(Self { runtime, options, session: None, looks: None })
    }
}

async fn rows(connection: &mut Conn, sql: &str) -> Vec<Vec<String>> {
    let rows: Vec<Row> = connection.query(sql).await.unwrap();
    let text = |row: Row| row.unwrap().into_iter().map(|value| value.as_sql(false)).collect();
    rows.into_iter().map(text).collect()
}

impl Bench for Mysql {
    fn renew(&mut self) {
        let (session, looks, options) = (self.session.take(), &mut self.looks, &self.options);
        self.session = Some(self.runtime.block_on(async {
            if let Some(session) = session {
                session.disconnect().await.unwrap();
            }
            if looks.is_none() {
                *looks = Some(Conn::new(options.clone()).await.unwrap());
            }
            let looks = looks.as_mut().unwrap();
            let is_mariadb = rows(looks, "SELECT VERSION()").await[0][0].contains("MariaDB");
            looks.query_drop(format!("DROP DATABASE IF EXISTS {DATABASE}")).await.unwrap();
            looks.query_drop(format!("CREATE DATABASE {DATABASE}")).await.unwrap();
            looks.query_drop("DROP USER IF EXISTS corpus_user@localhost").await.unwrap();
            if is_mariadb {
                looks.query_drop("REVOKE ALL ON *.* FROM PUBLIC").await.ok();
            }
            looks.query_drop(format!("USE {DATABASE}")).await.unwrap();
            for line in include_str!("corpus/mysql.sql").lines() {
                looks.query_drop(line.trim_end_matches(';')).await.unwrap();
            }
            Conn::new(options.clone().db_name(Some(DATABASE))).await.unwrap()
        }));
    }

    fn run(&mut self, text: &str) -> Result<(), String> {
        let session = self.session.as_mut().unwrap();
        self.runtime.block_on(async { session.query_drop(text).await.map_err(|error| error.to_string()) })
    }

    /// A session that holds locks is gone before anybody looks.
    fn state(&mut self) -> String {
        let looks = self.looks.as_mut().unwrap();
        self.runtime.block_on(async {
            let mut state = String::new();
            let tables = format!("SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = '{DATABASE}' ORDER BY 1");
            for table in rows(looks, &tables).await {
                let name = table[0].trim_matches('\'');
                writeln!(state, "{:?}", rows(looks, &format!("SHOW CREATE TABLE `{name}`")).await).unwrap();
                if !table[1].contains("VIEW") {
                    let mut all = rows(looks, &format!("SELECT * FROM `{name}`")).await;
                    all.sort();
                    writeln!(state, "{all:?}").unwrap();
                }
            }
            for sql in [
                "SELECT routine_name, routine_definition FROM information_schema.routines WHERE routine_schema = 'kronos_safety' ORDER BY 1",
                "SELECT trigger_name, action_statement FROM information_schema.triggers WHERE trigger_schema = 'kronos_safety' ORDER BY 1",
                "SELECT event_name FROM information_schema.events ORDER BY 1",
                "SELECT schema_name FROM information_schema.schemata ORDER BY 1",
                "SELECT * FROM information_schema.user_privileges ORDER BY 1, 2, 3",
                "SELECT * FROM mysql.user ORDER BY 1, 2",
                "SHOW GLOBAL VARIABLES WHERE variable_name IN ('sql_mode', 'event_scheduler', 'max_connections', 'general_log', 'read_only', 'foreign_key_checks', 'autocommit', 'slow_query_log', 'local_infile')",
            ] {
                writeln!(state, "{:?}", rows(looks, sql).await).unwrap();
            }
            // Only MariaDB has it.
            let roles: Vec<(String, String)> =
                looks.query("SELECT CONCAT(user, '@', host), priv FROM mysql.global_priv ORDER BY 1").await.unwrap_or_default();
            state + &format!("{roles:?}")
        })
    }
}
