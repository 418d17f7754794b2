//! The suite that every connector passes.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kronos_core::testing::{ConnectorFixture, Subject, connector_conformance};
use libtest_mimic::Trial;

use crate::server::{Database, Server, block_on, on_each};

#[derive(Debug)]
struct Databases {
    server: Server,
    made: Mutex<Vec<Database>>,
}

impl Databases {
    fn keep(&self, database: Database) -> Subject {
        let subject = Subject { connector: Arc::new(database.source()), place: database.name.clone() };
        self.made.lock().unwrap().push(database);
        subject
    }
}

#[async_trait]
impl ConnectorFixture for Databases {
    async fn source(&self) -> Subject {
        let rows: Vec<String> = (1..2000).map(|n| format!("({n}, SHA2({n}, 256))")).collect();
        self.keep(self.server.database(&format!(
            "CREATE TABLE t(id INT PRIMARY KEY AUTO_INCREMENT, body TEXT); INSERT INTO t VALUES {}; \
             CREATE TABLE u(x INT, KEY(x), FOREIGN KEY (x) REFERENCES t(id)); INSERT INTO u VALUES (1); \
             CREATE VIEW v AS SELECT x FROM u; CREATE TRIGGER tr BEFORE INSERT ON u FOR EACH ROW SET NEW.x = NEW.x;",
            rows.join(", ")
        )))
    }

    async fn mutate(&self, source: &Subject) {
        self.server.sql(&source.place, "INSERT INTO t(body) VALUES ('new')");
    }

    async fn empty_target(&self) -> Subject {
        self.keep(self.server.new_name())
    }

    async fn contents(&self, subject: &Subject) -> String {
        let others = self.server.databases();
        let left = others.iter().filter(|name| name.starts_with(&format!("{}_kronos", subject.place))).cloned();
        let left: Vec<String> = left.collect();
        if !others.contains(&subject.place) {
            return format!("nothing {left:?}");
        }
        format!("{}{left:?}", self.server.dumped(&subject.place))
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.server.password.clone()]
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    on_each("conformance", |server| {
        let _users = crate::server::USERS.write().unwrap();
        block_on(connector_conformance(&Databases { server: server.clone(), made: Mutex::default() }));
    })
}
