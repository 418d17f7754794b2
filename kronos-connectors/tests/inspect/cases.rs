//! Which cases there are, and how each runs: once for each engine, with a database of its own.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use libtest_mimic::{Failed, Trial};

use crate::engines::{ENGINES, Engine, Fixture};
use crate::{behind, lists, pages, pools, secrets, statements, transactions};

/// A case that takes longer hangs.
const LONGEST: Duration = Duration::from_mins(1);

/// A case, which has a database with the tables of `schema` for itself.
pub(crate) type Case = for<'a> fn(&'a Fixture) -> BoxFuture<'a, ()>;

/// Names a function after itself.
macro_rules! cases {
    ($($module:ident :: $name:ident),* $(,)?) => {
        vec![$((concat!(stringify!($module), "::", stringify!($name)), (|fixture| $module::$name(fixture).boxed()) as Case)),*]
    };
}

pub(crate) fn trials() -> Vec<Trial> {
    let cases: Vec<(&'static str, Case)> = cases![
        lists::databases_and_schemas,
        lists::tables,
        lists::all_about_a_table,
        lists::hostile_names,
        statements::values_come_back_as_they_went,
        statements::what_writes_is_refused_by_the_database,
        statements::one_statement_at_a_time,
        statements::errors_have_kinds,
        statements::writes_tell_how_many_rows,
        behind::what_is_not_seen_is_refused_by_the_database,
        pages::numbered,
        pages::by_key,
        pages::streams,
        pools::a_slow_statement_is_cancelled_on_the_server,
        pools::exhaustion,
        pools::turns,
        pools::two_hundred_callers,
        pools::callers_that_go,
        pools::health,
        secrets::nothing_shows_what_is_secret,
        transactions::commit_rollback_and_savepoints,
        transactions::dropped,
    ];
    let mut trials = Vec::new();
    for engine in ENGINES {
        // The mock has no server that could keep what others made, or tell a secret.
        let about_servers = |name: &str| name.starts_with("behind::") || name.starts_with("secrets::");
        for (name, case) in cases.iter().filter(|(name, _)| engine != Engine::Mock || !about_servers(name)) {
            let case = *case;
            let name = format!("{}::{name}", engine.name());
            trials.push(match engine.is_there() {
                Ok(()) => Trial::test(name, move || run(engine, case)),
                Err(_) if !engine.is_required() => {
                    Trial::test(format!("{name} (no server: scripts/servers)"), || Ok(())).with_ignored_flag(true)
                }
                Err(why) => Trial::test(name, move || Err(Failed::from(why.clone()))),
            });
        }
    }
    trials
}

fn run(engine: Engine, case: Case) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let fixture = Fixture::new(engine).await;
        let limited = tokio::time::timeout(LONGEST, AssertUnwindSafe(case(&fixture)).catch_unwind());
        let outcome = limited.await.unwrap_or_else(|_| Err(Box::new("it hangs".to_owned())));
        fixture.remove().await;
        outcome.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Failed::from(
                text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default(),
            )
        })
    })
}
