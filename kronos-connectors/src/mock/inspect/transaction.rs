//! A transaction of the mock: a held connection, each call on which is noted and meets what it should.

use async_trait::async_trait;
use kronos_core::Result;
use kronos_core::inspect::{Query, QueryResult, Transaction};

use super::call::{MockCall, MockOperation};
use super::database::MockDatabase;
use super::plan::Course;
use super::service::counted;
use crate::inspect::Control;
use crate::sqlite::inspect::connection::ident;

/// Dropping it undoes it, and is no call.
#[derive(Debug)]
pub(super) struct MockTransaction {
    database: MockDatabase,
    held: Box<dyn Transaction>,
    course: Course,
    /// The call that began it.
    number: u64,
    write: bool,
}

impl MockTransaction {
    pub(super) fn new(
        database: MockDatabase,
        held: Box<dyn Transaction>,
        course: Course,
        number: u64,
        write: bool,
    ) -> Self {
        Self { database, held, course, number, write }
    }

    /// Notes a call; what it meets is put in its way.
    fn call(&self, operation: MockOperation, control: Option<&Control>) -> (u64, Result<()>) {
        let mut call = MockCall::new(operation);
        call.statement = control.map(|control| control.in_sql(ident));
        (call.write, call.transaction) = (self.write, Some(self.number));
        let (number, plan) = self.database.call(call, None);
        (number, plan.map(|plan| self.course.set(plan)))
    }

    fn ended<T>(&self, number: u64, result: Result<T>) -> Result<T> {
        self.database.0.journal.end(number, result)
    }
}

#[async_trait]
impl Transaction for MockTransaction {
    async fn execute(&mut self, query: &Query) -> Result<QueryResult> {
        let mut call = MockCall::of(MockOperation::Query, query);
        (call.write, call.transaction) = (self.write, Some(self.number));
        let (number, plan) = self.database.call(call, Some(query));
        let result = match plan {
            Ok(plan) => {
                let rows = plan.rows();
                self.course.set(plan);
                self.held.execute(query).await.map(|result| counted(result, query, rows))
            }
            Err(error) => Err(error),
        };
        self.ended(number, result)
    }

    async fn savepoint(&mut self, name: &str) -> Result<()> {
        let (number, met) = self.call(MockOperation::Savepoint, Some(&Control::Savepoint(name.to_owned())));
        let result = match met {
            Ok(()) => self.held.savepoint(name).await,
            Err(error) => Err(error),
        };
        self.ended(number, result)
    }

    async fn rollback_to(&mut self, name: &str) -> Result<()> {
        let (number, met) = self.call(MockOperation::Savepoint, Some(&Control::RollbackTo(name.to_owned())));
        let result = match met {
            Ok(()) => self.held.rollback_to(name).await,
            Err(error) => Err(error),
        };
        self.ended(number, result)
    }

    async fn release(&mut self, name: &str) -> Result<()> {
        let (number, met) = self.call(MockOperation::Savepoint, Some(&Control::Release(name.to_owned())));
        let result = match met {
            Ok(()) => self.held.release(name).await,
            Err(error) => Err(error),
        };
        self.ended(number, result)
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        let (number, met) = self.call(MockOperation::Commit, None);
        let Self { database, held, .. } = *self;
        let result = match met {
            Ok(()) => held.commit().await,
            Err(error) => Err(error),
        };
        database.0.journal.end(number, result)
    }

    async fn rollback(self: Box<Self>) -> Result<()> {
        let (number, met) = self.call(MockOperation::Rollback, None);
        let Self { database, held, .. } = *self;
        let result = match met {
            Ok(()) => held.rollback().await,
            Err(error) => Err(error),
        };
        database.0.journal.end(number, result)
    }
}
