//! A test in a transaction that is undone, whatever becomes of the test.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt;
use kronos_core::Result;
use kronos_core::inspect::{Inspect, Transaction};

/// Runs `test` in a writing transaction and undoes all that it did, also when it panics; then the
/// panic goes on. Works on any database, so the same tests run on a real server.
///
/// Code that begins transactions by itself is tested on a [`fork`](super::MockDatabase::fork).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use kronos_connectors::mock::{MockDatabase, rolled_back};
/// use kronos_core::inspect::{Inspect, Query};
///
/// let shop = MockDatabase::builder().seed("CREATE TABLE orders (id INTEGER PRIMARY KEY)").build()?;
/// let count = Query::new("SELECT count(*) FROM orders");
/// rolled_back(&shop, async |shop| {
///     shop.execute(&Query::new("INSERT INTO orders DEFAULT VALUES")).await.unwrap();
///     assert_eq!(shop.execute(&count).await.unwrap().rows[0][0].as_i64(), Some(1));
/// })
/// .await?;
/// assert_eq!(shop.execute_query(&count).await?.rows[0][0].as_i64(), Some(0));
/// # kronos_core::Result::<()>::Ok(())
/// # }).unwrap();
/// ```
pub async fn rolled_back<T>(database: &dyn Inspect, test: impl AsyncFnOnce(&mut dyn Transaction) -> T) -> Result<T> {
    let mut transaction = database.begin(None, true).await?;
    let ended = AssertUnwindSafe(test(transaction.as_mut())).catch_unwind().await;
    let undone = transaction.rollback().await;
    match ended {
        Ok(value) => undone.map(|()| value),
        Err(panic) => resume_unwind(panic),
    }
}
