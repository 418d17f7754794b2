//! Names that a shell, a connection string or a pattern would take for something else.

use kronos_connectors::postgres::Method;
use kronos_core::{BackupOptions, ErrorKind, RestoreOptions, RunContext, backup};
use libtest_mimic::Trial;

use crate::server::{Server, back_up, block_on, bring_back, fresh, on_each, repository};

const NASTY: [&str; 10] =
    ["-x", "a b", "$(touch x)", "host=evil", "postgres://evil/x", "a'b\\c", "q\"uote", "*", "Ünïcode 数", "dot.ted"];

pub(crate) fn trials() -> Vec<Trial> {
    [on_each("nasty_names", nasty), on_each("a_database_that_is_not_there", missing)].into_iter().flatten().collect()
}

fn nasty(server: &Server) {
    block_on(async {
        for name in NASTY {
            let quoted = crate::server::quoted(name);
            let sql = format!(
                "CREATE SCHEMA {quoted}; CREATE TABLE {quoted}.{quoted}({quoted} text); INSERT INTO {quoted}.{quoted} VALUES ('x'); \
                 CREATE SEQUENCE {quoted}.\"s{}\"; CREATE TABLE other(x int); INSERT INTO other VALUES (1)",
                name.replace('"', "\"\"")
            );
            let unique = format!("{name}{}", fresh(""));
            let database = server.database_named(&unique, &sql);
            let before = database.all();
            for method in [Method::Native, Method::Tool] {
                let target = server.none(&format!("{unique}2"));
                let repository = repository().await;
                back_up(&repository, &database.source_by(method)).await.unwrap_or_else(|e| panic!("{name:?}: {e:?}"));
                let report = bring_back(&repository, &target.source(), &RestoreOptions::new()).await;
                report.unwrap_or_else(|e| panic!("{name:?}: {e:?}"));
                assert_eq!(target.all(), before, "{name:?} by {method:?}");
                // Its rows can be left out by its name, and only its rows.
                let repository = crate::server::repository().await;
                let mut options = BackupOptions::new();
                options.exclude = vec![format!("{name}.{name}").replace('*', "?")];
                backup(&repository, &database.source_by(method), &options, &RunContext::new()).await.unwrap();
                let target = server.none(&format!("{unique}3"));
                bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
                let count = format!("SELECT (SELECT count(*) FROM {quoted}.{quoted}), (SELECT count(*) FROM other)");
                assert_eq!(target.sql(&count), "0|1", "{name:?} by {method:?}");
            }
        }
    });
}

fn missing(server: &Server) {
    block_on(async {
        for method in [Method::Native, Method::Tool] {
            let source = server.none("not there at all").source_by(method);
            let error = back_up(&repository().await, &source).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        }
    });
}
