//! Handles that pass every call on to what they hold.

use kronos_core::inspect::Inspect;

/// What holds a database.
pub(crate) trait Holds {
    fn held(&self) -> &dyn Inspect;
}

/// Implements `Inspect` for what holds one.
macro_rules! inspect_by_what_it_holds {
    ($holder:ty) => {
        #[async_trait::async_trait]
        impl kronos_core::inspect::Inspect for $holder {
            fn engine(&self) -> kronos_core::Engine {
                $crate::inspect::Holds::held(self).engine()
            }

            fn describe(&self) -> String {
                $crate::inspect::Holds::held(self).describe()
            }

            async fn test_connection(&self) -> kronos_core::Result<kronos_core::ConnectionReport> {
                $crate::inspect::Holds::held(self).test_connection().await
            }

            async fn list_databases(
                &self,
                scope: &kronos_core::inspect::Scope,
            ) -> kronos_core::Result<Vec<kronos_core::inspect::Database>> {
                $crate::inspect::Holds::held(self).list_databases(scope).await
            }

            async fn list_schemas(
                &self,
                scope: &kronos_core::inspect::Scope,
            ) -> kronos_core::Result<Vec<kronos_core::inspect::Schema>> {
                $crate::inspect::Holds::held(self).list_schemas(scope).await
            }

            async fn list_tables(
                &self,
                scope: &kronos_core::inspect::Scope,
            ) -> kronos_core::Result<Vec<kronos_core::inspect::Table>> {
                $crate::inspect::Holds::held(self).list_tables(scope).await
            }

            async fn get_table_info(
                &self,
                table: &kronos_core::inspect::TableName,
                exact: bool,
            ) -> kronos_core::Result<kronos_core::inspect::TableInfo> {
                $crate::inspect::Holds::held(self).get_table_info(table, exact).await
            }

            fn judge(&self, text: &str) -> kronos_core::inspect::Verdict {
                $crate::inspect::Holds::held(self).judge(text)
            }

            async fn execute_query(
                &self,
                query: &kronos_core::inspect::Query,
            ) -> kronos_core::Result<kronos_core::inspect::QueryResult> {
                $crate::inspect::Holds::held(self).execute_query(query).await
            }

            async fn stream_query(
                &self,
                query: &kronos_core::inspect::Query,
            ) -> kronos_core::Result<kronos_core::inspect::RowStream> {
                $crate::inspect::Holds::held(self).stream_query(query).await
            }

            async fn begin(
                &self,
                database: Option<&str>,
                write: bool,
            ) -> kronos_core::Result<Box<dyn kronos_core::inspect::Transaction>> {
                $crate::inspect::Holds::held(self).begin(database, write).await
            }

            async fn health(&self) -> kronos_core::inspect::Health {
                $crate::inspect::Holds::held(self).health().await
            }

            fn pool(&self) -> kronos_core::inspect::PoolStatistics {
                $crate::inspect::Holds::held(self).pool()
            }

            async fn close(&self) {
                $crate::inspect::Holds::held(self).close().await;
            }
        }
    };
}
pub(crate) use inspect_by_what_it_holds;
