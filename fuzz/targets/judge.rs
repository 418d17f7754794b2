//! A statement that is judged before it runs, in the language of any engine.
#![no_main]

use kronos_connectors::inspect::judge;
use kronos_core::Engine;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str)| {
    let (engine, text) = input;
    let engines = [Engine::POSTGRES, Engine::MYSQL, Engine::SQLITE, Engine::MONGODB];
    let verdict = judge(&engines[usize::from(engine) % engines.len()], text);
    assert!(verdict.statements > 0);
    assert_eq!(verdict.is_dangerous, verdict.severity >= kronos_core::inspect::Severity::High);
});
