//! The strategies of the core pass the suite that every strategy passes.

use std::time::Duration;

use kronos_core::testing::strategy_conformance;
use kronos_core::{Differential, Full, Incremental};

#[test]
fn full() {
    strategy_conformance(&Full);
}

#[test]
fn incremental() {
    strategy_conformance(&Incremental::default());
    strategy_conformance(&Incremental { full_every: Some(Duration::from_hours(7 * 24)) });
}

#[test]
fn differential() {
    strategy_conformance(&Differential::default());
    strategy_conformance(&Differential { full_every: Some(Duration::from_hours(7 * 24)) });
}
