//! The pause before another attempt.

use std::time::Duration;

/// Half of the doubled base for certain, the other half by `chance`, so that those who
/// failed together do not come back together.
pub(crate) fn pause(base: Duration, max: Duration, attempt: u32, chance: u16) -> Duration {
    let full = base.saturating_mul(1 << (attempt - 1).min(20)).min(max);
    full.mul_f64(0.5 + f64::from(chance) / f64::from(u16::MAX) / 2.0)
}
