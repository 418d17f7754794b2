//! Errors that come on purpose: which, when, how often.

use kronos_core::inspect::Query;
use kronos_core::{Error, ErrorKind, Result, Retry};

use super::call::MockOperation;
use super::matching::MockMatch;
use super::plan::Strike;
use crate::mock::fault::failure;
use crate::mock::recipe::mix;

/// An error, and the calls that meet it: by itself, every one.
///
/// What it concerns ([`on`](Self::on), [`of`](Self::of)) is counted, and of that it comes at one call
/// ([`nth`](Self::nth)), at some ([`every`](Self::every)) or by chance
/// ([`probability`](Self::probability)).
#[derive(Debug, Clone)]
pub struct MockError {
    kind: ErrorKind,
    message: Option<String>,
    retry: Option<Retry>,
    when: When,
    on: Vec<MockOperation>,
    of: Option<MockMatch>,
    times: Option<u32>,
    late: bool,
}

#[derive(Debug, Clone, Copy)]
enum When {
    Always,
    Nth(u64),
    Every(u64),
    Chance(f64),
}

impl MockError {
    /// An error of this kind, at every call. Whether it is passing follows from the kind, as with a
    /// real server: `ConnectionFailed`, `Timeout`, `PoolExhausted`, `Locked`, `Conflict` and `Io` are.
    pub fn new(kind: ErrorKind) -> Self {
        Self {
            kind,
            message: None,
            retry: None,
            when: When::Always,
            on: Vec::new(),
            of: None,
            times: None,
            late: false,
        }
    }

    /// At the call with this number only, from 1.
    #[must_use]
    pub fn nth(mut self, number: u64) -> Self {
        self.when = When::Nth(number);
        self
    }

    /// At each call whose number is a multiple of this.
    #[must_use]
    pub fn every(mut self, number: u64) -> Self {
        self.when = When::Every(number);
        self
    }

    /// At calls by chance, from 0 (never) to 1. The same seed strikes the same calls.
    #[must_use]
    pub fn probability(mut self, share: f64) -> Self {
        self.when = When::Chance(share);
        self
    }

    /// Only at this operation. May be given several times.
    #[must_use]
    pub fn on(mut self, operation: MockOperation) -> Self {
        self.on.push(operation);
        self
    }

    /// Only at such statements.
    #[must_use]
    pub fn of(mut self, statements: impl Into<MockMatch>) -> Self {
        self.of = Some(statements.into());
        self
    }

    /// At most so many times.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// After the call has done what it is for, as when the server's answer is lost: a statement has
    /// run, a commit has committed. Otherwise it has not, and a commit has rolled back.
    #[must_use]
    pub fn late(mut self) -> Self {
        self.late = true;
        self
    }

    /// With this text.
    #[must_use]
    pub fn message(mut self, text: impl Into<String>) -> Self {
        self.message = Some(text.into());
        self
    }

    /// With this word on whether trying again helps. A statement that writes and was lost on its way
    /// is not for trying again whatever is said here, as with a real server.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    fn concerns(&self, operation: MockOperation, query: Option<&Query>) -> bool {
        (self.on.is_empty() || self.on.contains(&operation))
            && self.of.as_ref().is_none_or(|statements| query.is_some_and(|query| statements.fits(query)))
    }

    fn strike(&self) -> Strike {
        let error = failure(self.kind, self.message.as_deref().unwrap_or("the mock fails as it was told"));
        let error = match self.retry {
            Some(retry) => error.with_retry(retry),
            None => error,
        };
        Strike { error, late: self.late }
    }

    fn validate(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message).with("error", self.kind.name()));
        match self.when {
            When::Chance(share) if !(0.0..=1.0).contains(&share) => wrong("a probability is not between 0 and 1"),
            When::Nth(0) | When::Every(0) => wrong("calls count from 1"),
            _ => Ok(()),
        }
    }
}

/// The errors that come on purpose. Of several at one call the first counts.
#[derive(Debug, Clone, Default)]
pub struct MockErrorConfig {
    seed: u64,
    errors: Vec<MockError>,
}

impl MockErrorConfig {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// What comes by chance comes by this seed. Default 0.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// And this one.
    #[must_use]
    pub fn error(mut self, error: MockError) -> Self {
        self.errors.push(error);
        self
    }

    /// At any operation by chance.
    #[must_use]
    pub fn probability(self, share: f64, kind: ErrorKind) -> Self {
        self.error(MockError::new(kind).probability(share))
    }

    /// At the call with this number, whatever it is.
    #[must_use]
    pub fn nth(self, number: u64, kind: ErrorKind) -> Self {
        self.error(MockError::new(kind).nth(number))
    }

    /// At each call whose number is a multiple of this.
    #[must_use]
    pub fn every(self, number: u64, kind: ErrorKind) -> Self {
        self.error(MockError::new(kind).every(number))
    }

    /// `Config` when one can't be.
    pub(super) fn validate(&self) -> Result<()> {
        self.errors.iter().try_for_each(MockError::validate)
    }
}

/// Errors, and how far their counts have come.
#[derive(Debug)]
pub(super) struct Errors {
    config: MockErrorConfig,
    /// Of each, the calls that it concerned and those that it came at.
    counts: Vec<(u64, u32)>,
}

impl Errors {
    pub(super) fn new(config: MockErrorConfig) -> Self {
        Self { counts: vec![(0, 0); config.errors.len()], config }
    }

    pub(super) fn config(&self) -> &MockErrorConfig {
        &self.config
    }

    /// The error that a call meets, if any.
    pub(super) fn draw(&mut self, operation: MockOperation, query: Option<&Query>) -> Option<Strike> {
        let mut strike = None;
        let seed = self.config.seed;
        for ((place, error), (seen, struck)) in (0_u64..).zip(&self.config.errors).zip(&mut self.counts) {
            if !error.concerns(operation, query) {
                continue;
            }
            *seen += 1;
            let comes = match error.when {
                When::Always => true,
                When::Nth(number) => *seen == number,
                When::Every(number) => *seen % number == 0,
                When::Chance(share) => chance(seed, place, *seen) < share,
            };
            if comes && strike.is_none() && error.times.is_none_or(|times| *struck < times) {
                *struck += 1;
                strike = Some(error.strike());
            }
        }
        strike
    }
}

/// A number from 0 up to, not including, 1.
pub(super) fn chance(seed: u64, place: u64, number: u64) -> f64 {
    let bits = mix(mix(mix(seed) ^ place) ^ number) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At which of some calls an error comes.
    fn struck(config: &MockErrorConfig, calls: usize) -> Vec<usize> {
        let mut errors = Errors::new(config.clone());
        (1..=calls).filter(|_| errors.draw(MockOperation::Query, None).is_some()).collect()
    }

    #[test]
    fn by_number_and_by_chance() {
        let config = MockErrorConfig::new;
        assert_eq!(struck(&config().nth(3, ErrorKind::Timeout), 9), [3]);
        assert_eq!(struck(&config().every(4, ErrorKind::Timeout), 9), [4, 8]);
        assert_eq!(struck(&config().error(MockError::new(ErrorKind::Timeout).times(2)), 9), [1, 2]);
        let some = config().with_seed(5).probability(0.25, ErrorKind::Timeout);
        let often = struck(&some, 4000).len();
        assert!((900..1100).contains(&often), "{often}");
        assert_eq!(struck(&some, 100), struck(&some, 100));
        assert_ne!(struck(&some, 100), struck(&some.clone().with_seed(6), 100));
        assert!(struck(&config().probability(0.0, ErrorKind::Timeout), 100).is_empty());
        assert_eq!(struck(&config().probability(1.0, ErrorKind::Timeout), 9).len(), 9);
    }

    #[test]
    fn only_what_is_concerned_is_counted() {
        let commits = MockError::new(ErrorKind::Conflict).on(MockOperation::Commit).nth(2);
        let inserts = MockError::new(ErrorKind::Timeout).of(MockMatch::pattern("INSERT *"));
        let mut errors = Errors::new(MockErrorConfig::new().error(commits).error(inserts));
        let (read, insert) = (Query::new("SELECT 1"), Query::new("INSERT INTO t VALUES (1)"));
        let mut draw = |operation, query| errors.draw(operation, query).map(|strike| strike.error.kind());
        assert_eq!(draw(MockOperation::Commit, None), None);
        assert_eq!(draw(MockOperation::Query, Some(&read)), None);
        assert_eq!(draw(MockOperation::Query, Some(&insert)), Some(ErrorKind::Timeout));
        assert_eq!(draw(MockOperation::Commit, None), Some(ErrorKind::Conflict));
        assert_eq!(draw(MockOperation::Commit, None), None);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for wrong in [
            MockErrorConfig::new().probability(1.5, ErrorKind::Timeout),
            MockErrorConfig::new().probability(f64::NAN, ErrorKind::Timeout),
            MockErrorConfig::new().nth(0, ErrorKind::Timeout),
            MockErrorConfig::new().every(0, ErrorKind::Timeout),
        ] {
            assert_eq!(wrong.validate().unwrap_err().kind(), ErrorKind::Config);
        }
    }
}
