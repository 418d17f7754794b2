//! A program that works on a database, and its tests, which need none: whatever a database may do to
//! it (be slow, be gone, fail in the middle) is tried out on a mock.
//!
//! ```text
//! cargo run -p kronos-examples --example tested_with_mock
//! cargo test -p kronos-examples --example tested_with_mock
//! ```

use kronos_connectors::inspect::AnyDatabase;
use kronos_core::inspect::{Inspect, PoolSettings, Query, RetryPolicy, Value, with_retry};
use kronos_core::{Error, ErrorKind, Result, SourceSettings};

/// Who has bought most, with the number of invoices.
async fn best_customers(database: &dyn Inspect, number: i64) -> Result<Vec<(String, i64)>> {
    let query = Query::new(
        "SELECT FirstName, count(*) AS invoices FROM Customer JOIN Invoice USING (CustomerId) \
         GROUP BY CustomerId ORDER BY invoices DESC, CustomerId LIMIT ?",
    );
    let query = query.bind(number);
    let found = with_retry(&RetryPolicy::default(), || database.execute_query(&query)).await?;
    let row = |row: &Vec<Value>| match row.as_slice() {
        [name, invoices] => Some((name.as_str()?.to_owned(), invoices.as_i64()?)),
        _ => None,
    };
    found.rows.iter().map(row).collect::<Option<_>>().ok_or_else(|| Error::new(ErrorKind::Corrupt, "no names"))
}

/// Two customers turn out to be one: the invoices go from the second to the first, who stays alone.
/// All of it happens or nothing.
async fn merge_customers(database: &dyn Inspect, stays: i64, goes: i64) -> Result<u64> {
    with_retry(&RetryPolicy::default(), async || {
        let mut transaction = database.begin(None, true).await?;
        let invoices = Query::new("UPDATE Invoice SET CustomerId = ? WHERE CustomerId = ?").bind(stays).bind(goes);
        let moved = transaction.execute(&invoices).await?.rows_affected.unwrap_or(0);
        let customer = Query::new("DELETE FROM Customer WHERE CustomerId = ?").bind(goes);
        if transaction.execute(&customer).await?.rows_affected != Some(1) {
            transaction.rollback().await?;
            return Err(Error::new(ErrorKind::NotFound, "no such customer").with("customer", goes));
        }
        transaction.commit().await.map(|()| moved)
    })
    .await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = std::env::temp_dir().join(format!("kronos-tested-with-mock-{}", std::process::id()));
    std::fs::create_dir_all(&place)?;
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/data/chinook.db"), place.join("chinook.db"))?;
    let file = place.join("chinook.db").display().to_string();
    let settings = SourceSettings { databases: vec![file], ..SourceSettings::default() };
    let shop = AnyDatabase::open("sqlite", &settings, PoolSettings::default())?;

    assert_eq!(merge_customers(&shop, 1, 2).await?, 7);
    assert_eq!(best_customers(&shop, 1).await?, [("Luís".to_owned(), 14)]);
    shop.close().await;
    std::fs::remove_dir_all(place)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kronos_connectors::mock::{
        MockAnswer, MockBuilder, MockDatabase, MockError, MockErrorConfig, MockMatch, MockOperation, MockRows,
        rolled_back,
    };
    use kronos_core::Retry;

    use super::*;

    #[test]
    fn it_runs() -> Result<(), Box<dyn std::error::Error>> {
        main()
    }

    /// As much of a shop as the program needs.
    fn shop() -> MockBuilder {
        MockDatabase::builder().seed(
            "CREATE TABLE Customer (CustomerId INTEGER PRIMARY KEY, FirstName TEXT NOT NULL);
             CREATE TABLE Invoice (InvoiceId INTEGER PRIMARY KEY, CustomerId INTEGER REFERENCES Customer);
             INSERT INTO Customer VALUES (1, 'Ada'), (2, 'Ada again'), (3, 'Grace');
             INSERT INTO Invoice (CustomerId) VALUES (1), (2), (2), (3), (3);",
        )
    }

    #[tokio::test]
    async fn invoices_go_with_their_customer() -> Result<()> {
        let shop = shop().build()?;
        assert_eq!(merge_customers(&shop, 1, 2).await?, 2);
        assert_eq!(best_customers(&shop, 9).await?, [("Ada".to_owned(), 3), ("Grace".to_owned(), 2)]);
        let error = merge_customers(&shop, 1, 99).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        Ok(())
    }

    // Time is tokio's, and paused: the pauses between attempts take none.
    #[tokio::test(start_paused = true)]
    async fn what_passes_is_waited_for() -> Result<()> {
        let shop = shop().build()?;
        shop.set_errors(MockErrorConfig::new().error(MockError::new(ErrorKind::ConnectionFailed).times(3)))?;
        assert_eq!(best_customers(&shop, 1).await?.len(), 1);
        assert_eq!(shop.calls().len(), 4);
        shop.set_errors(MockErrorConfig::new().error(MockError::new(ErrorKind::ConnectionFailed)))?;
        assert_eq!(best_customers(&shop, 1).await.unwrap_err().retry(), Retry::Exhausted);
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn wherever_it_fails_nothing_is_done_by_half() -> Result<()> {
        let whole = shop().build()?;
        merge_customers(&whole, 1, 2).await?;
        for number in 1..=whole.calls().len() as u64 {
            let shop = shop().errors(MockErrorConfig::new().nth(number, ErrorKind::QueryFailed)).build()?;
            merge_customers(&shop, 1, 2).await.unwrap_err();
            let customers = best_customers(&shop, 9).await?;
            assert_eq!(customers.len(), 3, "after a failure of call {number}");
        }
        // A conflict with others passes.
        let conflict = MockError::new(ErrorKind::Conflict).on(MockOperation::Commit).times(2);
        let shop = shop().errors(MockErrorConfig::new().error(conflict)).build()?;
        assert_eq!(merge_customers(&shop, 1, 2).await?, 2);
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_whose_answer_is_lost_is_not_tried_again() -> Result<()> {
        let lost = MockError::new(ErrorKind::ConnectionFailed).on(MockOperation::Commit).late();
        let shop = shop().errors(MockErrorConfig::new().error(lost)).build()?;
        let error = merge_customers(&shop, 1, 2).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Never);
        assert_eq!(best_customers(&shop, 9).await?.len(), 2, "it was done all the same");
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_script_says_what_no_data_would() -> Result<()> {
        let slow = MockAnswer::rows(MockRows::new(["FirstName", "invoices"])).after(Duration::from_mins(10));
        let shop = shop().script(MockMatch::pattern("SELECT FirstName*"), slow.once()).build()?;
        let error = best_customers(&shop, 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        shop.verify()
    }

    #[tokio::test]
    async fn a_test_undoes_what_it_does() -> Result<()> {
        let shop = shop().build()?;
        rolled_back(&shop, async |inside| {
            inside.execute(&Query::new("DELETE FROM Invoice").confirmed()).await.map(drop)
        })
        .await??;
        assert_eq!(best_customers(&shop, 9).await?.len(), 3);
        // What begins transactions of its own has a database of its own.
        merge_customers(&shop.fork(), 1, 2).await?;
        assert_eq!(best_customers(&shop, 9).await?.len(), 3);
        Ok(())
    }
}
