//! Each case is judged as it says.

use std::fmt::Write as _;

use kronos_connectors::inspect::judge;
use libtest_mimic::{Failed, Trial};

use crate::cases::engines;

pub(crate) fn trials() -> Vec<Trial> {
    let all = engines().into_iter().map(|(engine, cases)| {
        Trial::test(format!("{engine}::each_case_is_judged_as_it_says"), move || {
            let mut wrong = String::new();
            for case in &cases {
                let verdict = judge(&engine, &case.text);
                let is_right = verdict.severity == case.severity
                    && verdict.effect == case.effect
                    && verdict.is_safe() == case.is_safe();
                if !is_right {
                    writeln!(
                        wrong,
                        "line {}: {}\n  {:?} {:?}, {} statements: {verdict}",
                        case.line, case.text, verdict.severity, verdict.effect, verdict.statements
                    )
                    .unwrap();
                }
            }
            if wrong.is_empty() { Ok(()) } else { Err(Failed::from(wrong)) }
        })
    });
    let count = Trial::test("there_are_enough_cases", || {
        let count: usize = engines().iter().map(|(_, cases)| cases.len()).sum();
        assert!(count >= 450, "{count}");
        Ok(())
    });
    all.chain([count]).collect()
}
