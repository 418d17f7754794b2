//! Generated data: a small shop, of any size, that is the same each time.

mod dice;
mod rows;
mod tables;
mod words;

use kronos_core::inspect::Value;
use rusqlite::params_from_iter;
use rusqlite::types::Value as Stored;

pub use tables::MockTable;

/// A shop: users, products, orders and what was ordered, with keys between them and values of every
/// kind: NULLs, texts in many scripts, dates, decimals as text, floats, booleans, bytes, JSON, UUIDs,
/// numbers of 64 bits. The same seed and sizes give the same data on every machine.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use kronos_connectors::mock::{MockDatabase, MockTestData};
/// use kronos_core::inspect::{Inspect, Query};
///
/// let shop = MockDatabase::builder().data(MockTestData::new(7).users(30).orders(200)).build()?;
/// let found = shop.execute_query(&Query::new("SELECT count(*) FROM orders JOIN users ON users.id = user_id")).await?;
/// assert_eq!(found.rows[0][0].as_i64(), Some(200));
/// # kronos_core::Result::<()>::Ok(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MockTestData {
    seed: u64,
    users: u32,
    products: u32,
    orders: u32,
}

impl MockTestData {
    /// 20 users, 10 products and 50 orders; from 1 to 4 products in each order.
    pub fn new(seed: u64) -> Self {
        Self { seed, users: 20, products: 10, orders: 50 }
    }

    /// With so many users. Without any there are no orders.
    #[must_use]
    pub fn users(mut self, number: u32) -> Self {
        self.users = number;
        self
    }

    /// With so many products. Without any there are no orders.
    #[must_use]
    pub fn products(mut self, number: u32) -> Self {
        self.products = number;
        self
    }

    /// With so many orders.
    #[must_use]
    pub fn orders(mut self, number: u32) -> Self {
        self.orders = number;
        self
    }

    /// The statements that make its tables, indexes and views, in SQLite's SQL.
    pub fn schema() -> &'static str {
        tables::SCHEMA
    }

    /// The rows of a table by its key, made as they are asked for.
    pub fn rows(&self, table: MockTable) -> impl Iterator<Item = Vec<Value>> + use<> {
        rows::of(*self, table)
    }

    /// Makes the tables and fills them.
    pub(super) fn fill(&self, connection: &rusqlite::Connection) -> rusqlite::Result<()> {
        connection.execute_batch("BEGIN")?;
        connection.execute_batch(Self::schema())?;
        for table in MockTable::ALL {
            let places = vec!["?"; table.columns().len()].join(", ");
            let mut insert = connection.prepare(&format!("INSERT INTO {} VALUES ({places})", table.name()))?;
            for row in self.rows(table) {
                insert.execute(params_from_iter(row.into_iter().map(stored)))?;
            }
        }
        connection.execute_batch("COMMIT")
    }

    fn sold(&self) -> u32 {
        if self.users == 0 || self.products == 0 { 0 } else { self.orders }
    }
}

fn stored(value: Value) -> Stored {
    match value {
        Value::Null => Stored::Null,
        Value::Bool(value) => Stored::Integer(value.into()),
        Value::Int(value) => Stored::Integer(value),
        Value::UInt(value) => i64::try_from(value).map_or_else(|_| Stored::Text(value.to_string()), Stored::Integer),
        Value::Float(value) => Stored::Real(value),
        Value::Text(value) | Value::Json(value) => Stored::Text(value),
        Value::Bytes(value) => Stored::Blob(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything(data: MockTestData) -> Vec<Vec<Value>> {
        MockTable::ALL.into_iter().flat_map(|table| data.rows(table)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_data() {
        let data = MockTestData::new(7).users(40).products(15).orders(100);
        assert_eq!(everything(data), everything(data));
        assert_ne!(everything(data), everything(MockTestData { seed: 8, ..data }));
        // Other sizes leave what is there as it is.
        let more: Vec<_> = data.orders(200).rows(MockTable::Users).collect();
        assert_eq!(more, data.rows(MockTable::Users).collect::<Vec<_>>());
        // Tests of others count on these bytes.
        let digest = blake3::hash(format!("{:?}", everything(data)).as_bytes()).to_hex();
        assert_eq!(&digest[..16], "815329305118e93f");
    }

    #[test]
    fn it_holds_what_its_schema_says() {
        let data = MockTestData::new(1).users(300).products(50).orders(1000);
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        data.fill(&connection).unwrap();
        let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(one("SELECT count(*) FROM pragma_foreign_key_check"), 0);
        assert_eq!((one("SELECT count(*) FROM users"), one("SELECT count(*) FROM orders")), (300, 1000));
        let wrong = "SELECT count(*) FROM orders JOIN order_totals USING (id) WHERE printf('%.2f', sum) <> total";
        assert_eq!(one(wrong), 0);
        for some in [
            "users WHERE referrer IS NULL",
            "users WHERE referrer < id",
            "users WHERE avatar IS NULL",
            "users WHERE length(avatar) > 0",
            "users WHERE length(CAST(name AS BLOB)) > length(name)",
            "users WHERE born BETWEEN '1940-01-01' AND '2006-12-31'",
            "users WHERE json_extract(settings, '$.theme') = 'dark'",
            "orders WHERE shipped IS NULL",
            "orders WHERE shipped > placed",
            "orders WHERE note LIKE '%''%'",
            "products WHERE stock > 4294967296",
            "products WHERE typeof(price) = 'text' AND typeof(weight) = 'real'",
        ] {
            assert!(one(&format!("SELECT count(*) FROM {some}")) > 0, "{some}");
        }
    }

    #[test]
    fn nothing_is_a_size_as_well() {
        let data = MockTestData::new(1).users(0);
        assert_eq!(everything(data).len(), 10);
        data.fill(&rusqlite::Connection::open_in_memory().unwrap()).unwrap();
    }
}
