//! Running the cases: what is safe leaves the state as it was, and what must change it does.

use std::fmt::Write as _;

use kronos_core::Engine;
use libtest_mimic::{Failed, Trial};

use crate::cases::{self, Case};

/// A database that is thrown away, and a session in it that commits each statement by itself.
pub(crate) trait Bench {
    /// Makes the database anew, and the session.
    fn renew(&mut self);
    fn run(&mut self, text: &str) -> Result<(), String>;
    /// All rows, definitions, sequences, users and settings that outlive a session.
    fn state(&mut self) -> String;
}

/// How many of the safe ones are run between two looks at the state.
const GROUP: usize = 16;

pub(crate) fn safe_ones_change_nothing(engine: &Engine, bench: &mut dyn Bench) {
    let safe: Vec<Case> = cases::of(engine).into_iter().filter(|case| case.is_safe() && !case.is("norun")).collect();
    for group in safe.chunks(GROUP) {
        bench.renew();
        let before = bench.state();
        assert!(before.len() > 100, "the state says nothing: {before}");
        for case in group {
            if let Err(error) = check(case, bench.run(&case.text)) {
                panic!("{error}");
            }
        }
        if bench.state() != before {
            for case in group {
                bench.renew();
                let before = bench.state();
                let _ = bench.run(&case.text);
                assert_eq!(bench.state(), before, "line {} changes something: {}", case.line, case.text);
            }
            panic!("these change something together: {group:#?}");
        }
    }
}

pub(crate) fn others_can_be_seen(engine: &Engine, bench: &mut dyn Bench) {
    let mut changed = 0;
    let mut wrong = String::new();
    for case in cases::of(engine).iter().filter(|case| !case.is_safe() && !case.is("norun")) {
        bench.renew();
        let before = bench.state();
        let ran = bench.run(&case.text);
        let failed = ran.is_err();
        if let Err(error) = check(case, ran) {
            wrong += &error;
        }
        let is_changed = bench.state() != before;
        changed += usize::from(is_changed);
        if case.must_change() && !is_changed && !failed {
            writeln!(wrong, "line {} changes nothing: {}", case.line, case.text).unwrap();
        }
    }
    bench.renew();
    assert!(wrong.is_empty(), "{wrong}");
    assert!(changed > 20, "{changed}");
}

fn check(case: &Case, ran: Result<(), String>) -> Result<(), String> {
    match ran {
        Ok(()) if case.is("fails") => Err(format!("line {} does not fail: {}\n", case.line, case.text)),
        Err(error) if !case.is("fails") && !case.is("mayfail") => {
            Err(format!("line {}: {}\n{error}\n", case.line, case.text))
        }
        _ => Ok(()),
    }
}

/// What scripts/servers says of a server.
pub(crate) fn variable(server: &str, name: &str) -> Result<String, String> {
    let name = format!("KRONOS_TEST_{}_{name}", server.to_uppercase());
    std::env::var(&name).map_err(|_| format!("{name} is not set: scripts/servers"))
}

/// All cases on a server, or the reason why not. One test, since its state is that of a whole server.
pub(crate) fn on(
    server: &'static str,
    is_first: bool,
    engine: Engine,
    make: impl Fn(&'static str) -> Result<Box<dyn Bench>, String> + Send + Sync + 'static,
) -> Vec<Trial> {
    let shown = format!("{server}::what_is_safe_changes_nothing_and_other_things_are_seen");
    let required = match std::env::var("KRONOS_TEST_REQUIRE").as_deref() {
        Ok("all") => is_first,
        Ok(names) => names.split([',', ' ']).any(|name| name == server),
        Err(_) => false,
    };
    let trial = match make(server) {
        Ok(_) => Trial::test(shown, move || {
            let mut bench = make(server)?;
            safe_ones_change_nothing(&engine, bench.as_mut());
            others_can_be_seen(&engine, bench.as_mut());
            Ok(())
        }),
        Err(reason) if required => Trial::test(shown, move || Err(Failed::from(reason))),
        Err(reason) => Trial::test(format!("{shown} ({reason})"), || Ok(())).with_ignored_flag(true),
    };
    vec![trial]
}
