//! The mock as every other database: each call is noted, and meets what it should.

use async_trait::async_trait;
use kronos_core::inspect::{
    Database, Health, Inspect, PoolStatistics, Query, QueryResult, RowStream, Schema, Scope, Table, TableInfo,
    TableName, Transaction, Verdict,
};
use kronos_core::{ConnectionReport, Engine, Result};
use tokio::time::Instant;

use super::call::{MockCall, MockOperation};
use super::database::MockDatabase;
use super::image::place;
use super::memory::Memory;
use super::plan::Course;
use super::transaction::MockTransaction;
use crate::inspect::{Service, judge};

impl MockDatabase {
    /// Notes a call, makes it, and notes how it ended.
    async fn met<T>(
        &self,
        call: MockCall,
        query: Option<&Query>,
        ask: impl AsyncFnOnce(Service<Memory>) -> Result<T>,
    ) -> Result<T> {
        let (number, plan) = self.call(call, query);
        let result = match plan {
            Ok(plan) => ask(self.service(Course::of(plan))).await,
            Err(error) => Err(error),
        };
        self.0.journal.end(number, result)
    }
}

fn within(operation: MockOperation, scope: &Scope) -> MockCall {
    MockCall { database: scope.database.clone(), ..MockCall::new(operation) }
}

#[async_trait]
impl Inspect for MockDatabase {
    /// SQLite: that is whose SQL it speaks.
    fn engine(&self) -> Engine {
        Engine::SQLITE
    }

    fn describe(&self) -> String {
        place(&self.0.store.name)
    }

    async fn test_connection(&self) -> Result<ConnectionReport> {
        let call = MockCall::new(MockOperation::TestConnection);
        self.met(call, None, async |service| service.test_connection().await).await
    }

    async fn list_databases(&self, scope: &Scope) -> Result<Vec<Database>> {
        let call = within(MockOperation::ListDatabases, scope);
        self.met(call, None, async |service| service.list_databases(scope).await).await
    }

    async fn list_schemas(&self, scope: &Scope) -> Result<Vec<Schema>> {
        let call = within(MockOperation::ListSchemas, scope);
        self.met(call, None, async |service| service.list_schemas(scope).await).await
    }

    async fn list_tables(&self, scope: &Scope) -> Result<Vec<Table>> {
        let call = within(MockOperation::ListTables, scope);
        self.met(call, None, async |service| service.list_tables(scope).await).await
    }

    async fn get_table_info(&self, table: &TableName, exact: bool) -> Result<TableInfo> {
        let mut call = MockCall::new(MockOperation::TableInfo);
        (call.table, call.database) = (Some(table.clone()), table.database.clone());
        self.met(call, None, async |service| service.get_table_info(table, exact).await).await
    }

    fn judge(&self, text: &str) -> Verdict {
        judge(&Engine::SQLITE, text)
    }

    async fn execute_query(&self, query: &Query) -> Result<QueryResult> {
        let (number, plan) = self.call(MockCall::of(MockOperation::Query, query), Some(query));
        let result = match plan {
            Ok(plan) => {
                let rows = plan.rows();
                let result = self.service(Course::of(plan)).execute_query(query).await;
                result.map(|result| counted(result, query, rows))
            }
            Err(error) => Err(error),
        };
        self.0.journal.end(number, result)
    }

    async fn stream_query(&self, query: &Query) -> Result<RowStream> {
        let call = MockCall::of(MockOperation::Stream, query);
        self.met(call, Some(query), async |service| service.stream_query(query).await).await
    }

    async fn begin(&self, database: Option<&str>, write: bool) -> Result<Box<dyn Transaction>> {
        let call = MockCall { database: database.map(str::to_owned), write, ..MockCall::new(MockOperation::Begin) };
        let (number, plan) = self.call(call, None);
        let begun = match plan {
            Ok(plan) => {
                let course = Course::of(plan);
                let begun = self.service(course.clone()).begin(database, write).await;
                begun.map(|held| {
                    Box::new(MockTransaction::new(self.clone(), held, course, number, write)) as Box<dyn Transaction>
                })
            }
            Err(error) => Err(error),
        };
        self.0.journal.end(number, begun)
    }

    async fn health(&self) -> Health {
        let (mut last, bounds) = (self.0.health.lock().await, &self.0.store.bounds);
        if let Some((_, health)) = last.as_ref().filter(|(asked, _)| asked.elapsed() < bounds.health_for) {
            return health.clone();
        }
        let call = MockCall::new(MockOperation::Health);
        let trip = self.met(call, None, async |service| service.round_trip().await).await;
        let health = Health::of(&trip, self.0.store.statistics(), bounds);
        *last = Some((Instant::now(), health.clone()));
        health
    }

    fn pool(&self) -> PoolStatistics {
        self.0.store.statistics()
    }

    async fn close(&self) {
        self.0.store.close();
    }
}

/// A script knows how many rows it has in all.
pub(super) fn counted(mut result: QueryResult, query: &Query, rows: Option<u64>) -> QueryResult {
    if query.page.total && result.page.total.is_none() {
        result.page.total = rows;
    }
    result
}
