//! The mock database: its state, and what a test may do with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kronos_core::inspect::{Health, Query, Text};
use kronos_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

use super::answer::MockAnswer;
use super::builder::MockBuilder;
use super::call::{Journal, MockCall, MockOperation};
use super::errors::{Errors, MockErrorConfig};
use super::latency::MockLatency;
use super::matching::MockMatch;
use super::memory::{Memory, Store};
use super::plan::{Course, Plan};
use super::script::Scripts;
use crate::inspect::Service;

/// A database for tests: SQLite in memory, with answers, errors and delays as a test wants them.
/// Clones are the same database; [`fork`](Self::fork) makes another one with the same data.
#[derive(Debug, Clone)]
pub struct MockDatabase(pub(super) Arc<State>);

#[derive(Debug)]
pub(super) struct State {
    pub store: Arc<Store>,
    pub journal: Journal,
    /// The last answer about health, and when it was given.
    pub health: tokio::sync::Mutex<Option<(Instant, Health)>>,
    scripts: Scripts,
    errors: Mutex<Errors>,
    latency: Mutex<Vec<MockLatency>>,
    scripted_only: bool,
}

impl MockDatabase {
    /// Begins one that is empty.
    pub fn builder() -> MockBuilder {
        MockBuilder::new()
    }

    pub(super) fn new(
        store: Store,
        scripts: Scripts,
        errors: Errors,
        latency: Vec<MockLatency>,
        scripted_only: bool,
    ) -> Self {
        Self(Arc::new(State {
            store: Arc::new(store),
            journal: Journal::default(),
            health: tokio::sync::Mutex::default(),
            scripts,
            errors: Mutex::new(errors),
            latency: Mutex::new(latency),
            scripted_only,
        }))
    }

    /// One with the data as it was last committed, and with the scripts, errors and delays of this one
    /// from their beginning. What is done to either is not seen by the other. The data is not copied
    /// before it is changed: one for each test costs next to nothing.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "it does not, as the message says")]
    pub fn fork(&self) -> Self {
        self.to_builder().build().expect("the parts of a database that was made make one")
    }

    /// The same as a builder, to change what is not the same.
    pub fn to_builder(&self) -> MockBuilder {
        let mut builder = MockBuilder::new().name(&self.0.store.name);
        builder.base = Some(self.0.store.image.bytes());
        builder.scripts = self.0.scripts.list();
        builder.errors = self.errors().config().clone();
        builder.latency.clone_from(&self.latency());
        builder.pool = self.0.store.bounds.clone();
        builder.scripted_only = self.0.scripted_only;
        builder
    }

    /// Adds a script behind those that are there ([`MockBuilder::script`]). `Config` when its answer
    /// can never be given.
    pub fn script(&self, statements: impl Into<MockMatch>, answer: impl Into<MockAnswer>) -> Result<()> {
        self.0.scripts.add(statements.into(), answer.into())
    }

    /// From now on these errors come, counted from here; without any, none.
    pub fn set_errors(&self, errors: MockErrorConfig) -> Result<()> {
        errors.validate()?;
        *self.errors() = Errors::new(errors);
        Ok(())
    }

    /// From now on calls take so long.
    pub fn set_latency(&self, latency: impl Into<MockLatency>) -> Result<()> {
        let latency = latency.into();
        latency.validate()?;
        *self.latency() = vec![latency];
        Ok(())
    }

    /// All that was asked for, in order.
    pub fn calls(&self) -> Vec<MockCall> {
        self.0.journal.calls()
    }

    /// The statements that were asked for, in order, as they were written.
    pub fn statements(&self) -> Vec<String> {
        let statements = |call: MockCall| match call.operation {
            MockOperation::Query | MockOperation::Stream => call.statement,
            _ => None,
        };
        self.calls().into_iter().filter_map(statements).collect()
    }

    /// `NotFound` when a script has not answered as often as it should: one without a number of times
    /// at least once. The error names them.
    pub fn verify(&self) -> Result<()> {
        self.0.scripts.verify()
    }

    fn errors(&self) -> MutexGuard<'_, Errors> {
        self.0.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn latency(&self) -> MutexGuard<'_, Vec<MockLatency>> {
        self.0.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service, as one call meets it.
    pub(super) fn service(&self, course: Course) -> Service<Memory> {
        Service::new(Memory::new(self.0.store.clone(), course))
    }

    /// Notes a call, and finds out what it meets.
    pub(super) fn call(&self, call: MockCall, query: Option<&Query>) -> (u64, Result<Plan>) {
        let operation = call.operation;
        let number = self.0.journal.begin(call);
        let plan = self.plan(operation, query, number);
        if plan.as_ref().is_ok_and(|plan| plan.scripted) {
            self.0.journal.note_script(number);
        }
        (number, plan)
    }

    fn plan(&self, operation: MockOperation, query: Option<&Query>, number: u64) -> Result<Plan> {
        if let (MockOperation::Query, Some(query)) = (operation, query) {
            // What is refused before it is asked for uses up nothing.
            query.page.skipped()?;
        }
        let mut plan = Plan { point: operation.point(), ..Plan::default() };
        plan.strike = self.errors().draw(operation, query);
        plan.delay = self.latency().iter().map(|latency| latency.of(operation, number)).sum();
        let Some(query) = query else { return Ok(plan) };
        if plan.strike.as_ref().is_some_and(|strike| !strike.late) {
            // The answer is for whoever tries again.
            plan.scripted = self.0.scripts.has(query);
        } else if let Some((answer, delay)) = self.0.scripts.claim(query) {
            (plan.scripted, plan.answer) = (true, Some(answer));
            plan.delay += delay;
        }
        if self.0.scripted_only && !plan.scripted && matches!(query.text, Text::Statement(_)) {
            return Err(Error::new(ErrorKind::InvalidQuery, "no script answers the statement"));
        }
        Ok(plan)
    }
}
