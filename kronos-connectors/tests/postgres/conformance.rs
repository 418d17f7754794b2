//! The suite that every connector passes, for both methods.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kronos_connectors::postgres::Method;
use kronos_core::testing::{ConnectorFixture, Subject, connector_conformance};
use libtest_mimic::Trial;

use crate::server::{Database, Server, block_on, on_each};

#[derive(Debug)]
struct Databases {
    server: Server,
    method: Method,
    made: Mutex<Vec<Database>>,
}

impl Databases {
    fn keep(&self, database: Database) -> Subject {
        let subject = Subject { connector: Arc::new(database.source_by(self.method)), place: database.name.clone() };
        self.made.lock().unwrap().push(database);
        subject
    }
}

#[async_trait]
impl ConnectorFixture for Databases {
    async fn source(&self) -> Subject {
        self.keep(self.server.database(
            "CREATE TABLE t(id int PRIMARY KEY, body text); INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1, 2000) i; \
             CREATE TABLE u(x int REFERENCES t); INSERT INTO u VALUES (1); CREATE SEQUENCE s; SELECT setval('s', 7);",
        ))
    }

    async fn mutate(&self, source: &Subject) {
        self.server.sql(&source.place, "INSERT INTO t SELECT max(id) + 1, 'new' FROM t; SELECT nextval('s')");
    }

    async fn empty_target(&self) -> Subject {
        self.keep(self.server.new_name())
    }

    async fn contents(&self, subject: &Subject) -> String {
        if !self.server.exists(&subject.place) {
            return "nothing".to_owned();
        }
        let (schema, rows) = (self.server.schema(&subject.place), self.server.rows(&subject.place));
        format!("{schema}\n{rows}")
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.server.password.clone()]
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    let native = on_each("conformance", |server| suite(server, Method::Native));
    let tool = on_each("conformance_by_tool", |server| suite(server, Method::Tool));
    native.into_iter().chain(tool).collect()
}

fn suite(server: &Server, method: Method) {
    let databases = Databases { server: server.clone(), method, made: Mutex::default() };
    block_on(connector_conformance(&databases));
}
