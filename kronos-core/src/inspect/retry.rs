//! Trying again what is passing, for programs that use the service.

use std::time::Duration;

use crate::backoff;
use crate::error::{Result, Retry};
use crate::run::{Entropy, SystemEntropy};

/// How patient [`with_retry`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// All attempts, the first one as well. Default 5.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles each time. Default 100 ms.
    pub base: Duration,
    /// The longest pause. Default 30 s.
    pub max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 5, base: Duration::from_millis(100), max: Duration::from_secs(30) }
    }
}

/// Calls `action` until it succeeds, fails with what is not passing ([`Retry::Later`]), or the
/// attempts are used up. Between attempts there are pauses that double, one half of each by chance, so
/// that callers who failed together do not come back together.
///
/// What writes is safe in it as well: an error after which a statement may have been carried out says
/// [`Retry::Never`].
pub async fn with_retry<T, F>(policy: &RetryPolicy, mut action: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut attempt = 1;
    loop {
        let error = match action().await {
            Ok(value) => return Ok(value),
            Err(error) if error.retry() != Retry::Later => return Err(error),
            Err(error) => error,
        };
        if attempt >= policy.attempts {
            return Err(error.with_retry(Retry::Exhausted).with("attempts", attempt));
        }
        let pause = backoff::pause(policy.base, policy.max, attempt, chance());
        tokio::time::sleep(pause.max(error.retry_after().unwrap_or_default())).await;
        attempt += 1;
    }
}

fn chance() -> u16 {
    let mut bytes = [0; 2];
    SystemEntropy.fill(&mut bytes);
    u16::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::{Error, ErrorKind};

    #[tokio::test(start_paused = true)]
    async fn only_what_is_passing_is_tried_again() {
        let (policy, calls) = (RetryPolicy::default(), Cell::new(0));
        let call = |retry: Retry, good_at: u32| {
            calls.set(calls.get() + 1);
            let good = calls.get() >= good_at;
            async move { if good { Ok(()) } else { Err(Error::new(ErrorKind::ConnectionFailed, "gone").with_retry(retry)) } }
        };
        let begun = tokio::time::Instant::now();
        with_retry(&policy, || call(Retry::Later, 3)).await.unwrap();
        assert_eq!(calls.replace(0), 3);
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_millis(150) && waited <= Duration::from_millis(301), "{waited:?}");
        let error = with_retry(&policy, || call(Retry::Later, 9)).await.unwrap_err();
        assert_eq!((calls.replace(0), error.retry()), (5, Retry::Exhausted));
        assert!(with_retry(&policy, || call(Retry::Never, 9)).await.is_err());
        assert_eq!(calls.get(), 1);
    }
}
