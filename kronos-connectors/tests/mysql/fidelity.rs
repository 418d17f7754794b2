//! What comes back is what was there, as the server's own program for dumps sees it.

use kronos_core::RestoreOptions;
use libtest_mimic::Trial;

use crate::server::{Database, Server, assert_same, back_up, block_on, bring_back, on_each, repository};

pub(crate) fn trials() -> Vec<Trial> {
    [on_each("everything_comes_back", everything)].into_iter().flatten().collect()
}

/// A schema as nasty as the server can bear.
pub(crate) fn nasty(server: &Server) -> Database {
    let own = if server.is_mariadb() { include_str!("nasty-mariadb.sql") } else { include_str!("nasty-mysql.sql") };
    let sql = format!("{}\n{own}", include_str!("nasty.sql"));
    server.database_named(&crate::server::fresh("nasty"), "CHARACTER SET latin1 COLLATE latin1_german1_ci", &sql)
}

fn everything(server: &Server) {
    let (source, target) = (nasty(server), server.new_name());
    let before = source.all();
    block_on(async {
        let repository = repository().await;
        let backup = back_up(&repository, &source.source()).await.unwrap();
        let report = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        assert_same(&target.all(), &before, server.name);
        assert!(backup.position.is_some(), "{backup:?}");
        assert!(report.outcome.warnings.is_empty(), "{:?}", report.outcome.warnings);
        assert_eq!(backup.warnings.len(), 1, "{:?}", backup.warnings);
    });
    assert_same(&source.all(), &before, "the source");
}
