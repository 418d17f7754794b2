//! Trying again what is transient, with exponential backoff and jitter.

use std::time::Duration;

use crate::error::{Error, Result, Retry};
use crate::event::Event;
use crate::run::RunContext;

/// Calls `action` until it succeeds, fails for good, or the attempts are used up.
pub(crate) async fn retry<T, F>(run: &RunContext, what: &str, mut action: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut attempt = 1;
    loop {
        run.check_cancelled()?;
        let error = tokio::select! {
            biased;
            () = run.cancel.cancelled() => return Err(Error::cancelled()),
            result = action() => match result {
                Ok(value) => return Ok(value),
                Err(error) => error,
            },
        };
        if error.retry() != Retry::Later {
            return Err(error);
        }
        if attempt >= run.limits.attempts {
            return Err(error.with_retry(Retry::Exhausted).with("attempts", attempt));
        }
        run.emit(&Event::Retrying { what: what.to_owned(), attempt, error: error.to_string() });
        tokio::select! {
            biased;
            () = run.cancel.cancelled() => return Err(Error::cancelled()),
            () = tokio::time::sleep(pause(run, attempt).max(error.retry_after().unwrap_or_default())) => {}
        }
        attempt += 1;
    }
}

/// Half of the doubled base for certain, the other half by chance, so that writers who failed
/// together do not come back together.
fn pause(run: &RunContext, attempt: u32) -> Duration {
    let full = run.limits.backoff.saturating_mul(1 << (attempt - 1).min(20)).min(run.limits.backoff_max);
    let chance = f64::from(u16::from_le_bytes(run.random())) / f64::from(u16::MAX);
    full.mul_f64(0.5 + chance / 2.0)
}
