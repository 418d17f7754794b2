//! Pages and streams.

use futures::TryStreamExt;
use kronos_core::ErrorKind;
use kronos_core::inspect::{Inspect, PageRequest, Query};

use crate::engines::Fixture;

pub(crate) async fn numbered(fixture: &Fixture) {
    let numbers = fixture.engine.numbers(25);
    let page = |number| PageRequest::new(number).size(10);
    let query = |page| Query::new(format!("{numbers} ORDER BY i; -- all")).confirmed().page(page);
    let error = fixture.database.execute_query(&query(page(0))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let first = fixture.database.execute_query(&query(page(1))).await.unwrap();
    assert_eq!((first.rows.len(), first.page.has_next, first.page.total), (10, true, None));
    let last = fixture.database.execute_query(&query(page(3))).await.unwrap();
    assert_eq!((last.rows.len(), last.page.has_next, last.page.total), (5, false, Some(25)));
    assert_eq!(last.rows[0][0].as_i64(), Some(21));
    let behind = fixture.database.execute_query(&query(page(4))).await.unwrap();
    assert_eq!((behind.rows.len(), behind.page.total), (0, None));
    let usual = fixture.database.execute_query(&Query::new(fixture.engine.numbers(1000)).confirmed()).await.unwrap();
    assert_eq!(usual.rows.len(), 100);
    // One that has a limit of its own.
    let own = Query::new(format!("{numbers} ORDER BY i LIMIT 15")).confirmed().page(page(2));
    let own = fixture.database.execute_query(&own).await.unwrap();
    assert_eq!((own.rows.len(), own.page.has_next), (5, false));
}

pub(crate) async fn by_key(fixture: &Fixture) {
    fixture.write("DELETE FROM orders").await;
    for customer in 1..=3 {
        let numbers = fixture.engine.numbers(17);
        fixture.write(&format!("INSERT INTO orders SELECT {customer}, i, i FROM ({numbers}) AS n")).await;
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let mut page = PageRequest::default().size(10);
        page.after = after;
        let query = Query::table(Fixture::table("orders")).page(page);
        let result = fixture.database.execute_query(&query).await.unwrap();
        seen.extend(result.rows.iter().map(|row| (row[0].as_i64().unwrap(), row[1].as_i64().unwrap())));
        after = result.page.next;
        if after.is_none() {
            break;
        }
        // What is taken away before the place does not move what comes after it.
        fixture.write("DELETE FROM orders WHERE customer = 1 AND number = 1").await;
    }
    assert!(seen.len() == 51 && seen.is_sorted(), "{seen:?}");
    let counted = Query::table(Fixture::table("orders")).page(PageRequest::default().size(10).with_total());
    let counted = fixture.database.execute_query(&counted).await.unwrap();
    assert_eq!((counted.page.total, counted.page.has_next), (Some(50), true));
    let wrong = Query::table(Fixture::table("orders")).page(PageRequest::default().after("[1]"));
    assert_eq!(fixture.database.execute_query(&wrong).await.unwrap_err().kind(), ErrorKind::Config);
}

pub(crate) async fn streams(fixture: &Fixture) {
    let query = Query::new(fixture.engine.numbers(100_000)).confirmed();
    let mut rows = fixture.database.stream_query(&query).await.unwrap();
    assert_eq!(rows.columns()[0].name, "i");
    let mut sum = 0;
    while let Some(row) = rows.try_next().await.unwrap() {
        sum += row[0].as_i64().unwrap();
    }
    assert_eq!(sum, 100_000 * 100_001 / 2);
    // One that nobody reads to its end is ended.
    let mut rows =
        fixture.database.stream_query(&Query::new(fixture.engine.numbers(50_000_000)).confirmed()).await.unwrap();
    assert!(rows.try_next().await.unwrap().is_some());
    drop(rows);
    fixture.until_nothing_runs().await;
    for _ in 0..100 {
        if fixture.database.pool().active == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(fixture.database.pool().active, 0);
    // An error in the middle comes as the last item.
    let failing = Query::new("SELECT * FROM absent").confirmed();
    assert_eq!(fixture.database.stream_query(&failing).await.unwrap_err().kind(), ErrorKind::NotFound);
}
