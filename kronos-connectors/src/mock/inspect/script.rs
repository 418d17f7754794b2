//! The scripts of a database: which statement is answered by which of them, and how often that was.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kronos_core::inspect::Query;
use kronos_core::{Error, ErrorKind, Result};

use super::answer::{MockAnswer, MockRows};
use super::matching::MockMatch;

/// A script and how often it has answered.
#[derive(Debug, Clone)]
struct Script {
    matching: MockMatch,
    answer: Arc<MockAnswer>,
    given: u32,
}

impl Script {
    fn has_more(&self) -> bool {
        self.answer.times.is_none_or(|times| self.given < times)
    }

    /// It should have answered, or more often.
    fn is_wanting(&self) -> bool {
        self.given < self.answer.times.unwrap_or(1)
    }
}

/// The scripts in the order in which they were written.
#[derive(Debug, Default)]
pub(super) struct Scripts(Mutex<Vec<Script>>);

impl Scripts {
    pub(super) fn add(&self, matching: MockMatch, answer: MockAnswer) -> Result<()> {
        answer.validate().map_err(|error| error.with("script", &matching))?;
        self.lock().push(Script { matching, answer: Arc::new(answer), given: 0 });
        Ok(())
    }

    /// All of them as they were written.
    pub(super) fn list(&self) -> Vec<(MockMatch, MockAnswer)> {
        self.lock().iter().map(|script| (script.matching.clone(), MockAnswer::clone(&script.answer))).collect()
    }

    /// Whether there is one for the statement.
    pub(super) fn has(&self, query: &Query) -> bool {
        self.find(query).is_some()
    }

    /// The answer of the first script that fits and has more, and how long that takes.
    pub(super) fn claim(&self, query: &Query) -> Option<(Result<MockRows>, Duration)> {
        loop {
            let place = self.find(query)?;
            let answer = {
                let mut scripts = self.lock();
                // Another caller may have had the last one.
                let Some(script) = scripts.get_mut(place).filter(|script| script.has_more()) else { continue };
                script.given += 1;
                script.answer.clone()
            };
            return Some((answer.give(query), answer.delay));
        }
    }

    fn find(&self, query: &Query) -> Option<usize> {
        // Functions are asked without the lock: they may use the mock themselves.
        let scripts = self.lock().clone();
        scripts.iter().position(|script| script.has_more() && script.matching.fits(query))
    }

    /// `NotFound` when one has not answered as often as it should: those without a number at least once.
    pub(super) fn verify(&self) -> Result<()> {
        let scripts = self.lock();
        let mut wanting = scripts.iter().filter(|script| script.is_wanting()).peekable();
        if wanting.peek().is_none() {
            return Ok(());
        }
        let error = Error::new(ErrorKind::NotFound, "a scripted statement was not run as often as it should");
        Err(wanting.fold(error, |error, script| {
            let often = script.answer.times.map_or("at least 1".to_owned(), |times| times.to_string());
            error.with("script", format!("{} ({} of {often})", script.matching, script.given))
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Script>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
