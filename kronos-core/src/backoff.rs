//! The pause before another attempt.

use std::time::Duration;

/// The pause after failed attempt number `attempt`, from 1: `base`, doubled each time, up to `max`. Half
/// of it for certain, the other half by `chance`, a random number, so that those who failed together do
/// not come back together.
pub fn pause(base: Duration, max: Duration, attempt: u32, chance: u16) -> Duration {
    let full = base.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(max);
    full.mul_f64(0.5 + f64::from(chance) / f64::from(u16::MAX) / 2.0)
}
