//! How fast bytes may go, each way: a limit that the user sets, shared by all requests of a storage.

use std::num::NonZeroU32;

use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// Bytes that are taken at a time: few enough that the stream of them is even.
const MOST: u32 = 64 << 10;
const LEAST: u32 = 1 << 10;

/// A limit in one direction, or none.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    limit: Option<Limit>,
}

#[derive(Debug)]
struct Limit {
    bucket: RateLimiter<NotKeyed, InMemoryState, DefaultClock>,
    slice: u32,
}

impl Pace {
    /// So many bytes a second; `None` is as fast as it goes.
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        let limit = bytes_per_second.map(|rate| {
            let rate = u32::try_from(rate).unwrap_or(u32::MAX).max(LEAST);
            let slice = (rate / 16).clamp(LEAST, MOST);
            let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
            let burst = NonZeroU32::new(slice).unwrap_or(NonZeroU32::MIN);
            Limit { bucket: RateLimiter::direct(Quota::per_second(rate).allow_burst(burst)), slice }
        });
        Self { limit }
    }

    /// How many bytes are to be taken at a time.
    pub(crate) fn slice(&self) -> usize {
        self.limit.as_ref().map_or(MOST, |limit| limit.slice) as usize
    }

    /// Whether there is a limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Waits until so many bytes may go.
    pub(crate) async fn wait(&self, bytes: usize) {
        let Some(limit) = &self.limit else { return };
        let mut left = u32::try_from(bytes).unwrap_or(u32::MAX);
        while let Some(now) = NonZeroU32::new(left.min(limit.slice)) {
            // The burst is a whole slice: a slice always fits.
            if limit.bucket.until_n_ready(now).await.is_err() {
                return;
            }
            left -= now.get();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn the_limit_is_kept_from_the_beginning() {
        let pace = Pace::new(Some(1 << 20));
        let begun = Instant::now();
        pace.wait(512 << 10).await;
        let took = begun.elapsed().as_secs_f64();
        // Half a second less the first burst.
        assert!((0.35..1.5).contains(&took), "half of a second's bytes took {took} s");
        Pace::new(None).wait(usize::MAX).await;
    }
}
