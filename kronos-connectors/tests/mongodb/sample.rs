//! The sample database Chinook, its rows as documents.

use std::path::Path;

use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use rusqlite::types::ValueRef;

use crate::server::Database;

/// Fills a database; gives the names of its collections.
pub(crate) async fn fill(database: &Database) -> Vec<String> {
    let tables = read();
    for (table, columns, rows) in &tables {
        database.insert(table, rows.clone()).await;
        let index = doc! { "key": { &columns[1]: 1, &columns[0]: -1 }, "name": format!("by {}", columns[1]) };
        database.run(doc! { "createIndexes": table, "indexes": [index] }).await;
    }
    tables.into_iter().map(|(table, ..)| table).collect()
}

fn read() -> Vec<(String, Vec<String>, Vec<RawDocumentBuf>)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/chinook.db");
    let from = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut names = from.prepare(names).unwrap();
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let table = |table: String| {
        let mut rows = from.prepare(&format!("SELECT rowid AS _id, * FROM \"{table}\" ORDER BY rowid")).unwrap();
        let columns: Vec<String> = rows.column_names().map(str::to_owned).collect();
        let document = |row: &rusqlite::Row<'_>| {
            let mut document = Document::new();
            for (n, column) in columns.iter().enumerate() {
                let value = match row.get_ref(n)? {
                    ValueRef::Null => Bson::Null,
                    ValueRef::Integer(n) => Bson::Int64(n),
                    ValueRef::Real(n) => Bson::Double(n),
                    ValueRef::Text(text) => Bson::String(String::from_utf8(text.to_vec()).unwrap()),
                    ValueRef::Blob(_) => panic!("there are none"),
                };
                document.insert(if n == 0 { "_id" } else { column.as_str() }, value);
            }
            Ok(RawDocumentBuf::try_from(&document).unwrap())
        };
        let documents = rows.query_map([], document).unwrap().map(Result::unwrap).collect();
        (table, columns[1..].to_vec(), documents)
    };
    names.into_iter().map(table).collect()
}
