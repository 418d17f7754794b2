//! Lists, and all about one table.

use kronos_core::ErrorKind;
use kronos_core::inspect::{ConstraintKind, Inspect, Query, RowCount, Scope, TableKind};

use crate::engines::{Engine, Fixture};

pub(crate) async fn databases_and_schemas(fixture: &Fixture) {
    let found = fixture.database.list_databases(&Scope::new()).await.unwrap();
    let names: Vec<&str> = found.iter().map(|database| database.name.as_str()).collect();
    assert!(names.contains(&fixture.name.as_str()) && names.is_sorted(), "{names:?}");
    let own = found.iter().find(|database| database.name == fixture.name).unwrap();
    assert!(own.size.unwrap() > 0 && !own.system);
    let all = fixture.database.list_databases(&Scope::new().with_system()).await.unwrap();
    let schemas = fixture.database.list_schemas(&Scope::new()).await.unwrap();
    let schemas: Vec<&str> = schemas.iter().map(|schema| schema.name.as_str()).collect();
    match fixture.engine {
        Engine::Sqlite | Engine::Mock => assert!(schemas.is_empty()),
        Engine::Mariadb | Engine::Mysql => {
            assert!(!names.contains(&"mysql") && all.iter().any(|database| database.name == "mysql"));
            assert!(schemas.is_empty());
        }
        Engine::Postgres => {
            assert!(!names.contains(&"template1") && all.iter().any(|database| database.name == "template1"));
            assert_eq!(schemas, ["public"]);
            let all = fixture.database.list_schemas(&Scope::new().with_system()).await.unwrap();
            assert!(all.iter().any(|schema| schema.name == "pg_catalog" && schema.system));
        }
    }
}

pub(crate) async fn tables(fixture: &Fixture) {
    let found = fixture.database.list_tables(&Scope::new()).await.unwrap();
    let found: Vec<(&str, TableKind)> = found.iter().map(|table| (table.name.as_str(), table.kind)).collect();
    let (table, view) = (TableKind::Table, TableKind::View);
    assert_eq!(found, [("big", view), ("customers", table), ("items", table), ("orders", table)]);
    let all = fixture.database.list_tables(&Scope::new().with_system()).await.unwrap();
    // In MySQL, those of the server are in databases of their own.
    assert!(all.len() > found.len() || fixture.engine.is_mysql());
}

pub(crate) async fn all_about_a_table(fixture: &Fixture) {
    let info = fixture.database.get_table_info(&Fixture::table("orders"), true).await.unwrap();
    assert_eq!(info.count, RowCount::Exact(5));
    let columns: Vec<_> = info.columns.iter().map(|c| (c.name.as_str(), c.position, c.nullable, c.key)).collect();
    assert_eq!(columns, [("customer", 1, false, Some(1)), ("number", 2, false, Some(2)), ("total", 3, true, None)]);
    assert!(info.columns[0].data_type.to_lowercase().contains("int"), "{:?}", info.columns[0]);
    let key = &info.foreign_keys[0];
    assert_eq!((key.columns.as_slice(), key.target_table.as_str()), (&["customer".to_owned()][..], "customers"));
    assert_eq!((key.target_columns.as_slice(), key.on_delete.as_str()), (&["id".to_owned()][..], "CASCADE"));
    let primary = info.indexes.iter().find(|index| index.primary).unwrap();
    assert_eq!((primary.columns.as_slice(), primary.unique), (&["customer".to_owned(), "number".to_owned()][..], true));
    let check = info.constraints.iter().find(|constraint| constraint.kind == ConstraintKind::Check).unwrap();
    assert!(check.definition.contains("total") && check.definition.contains(">= 0"), "{check:?}");
    assert!(info.constraints.iter().any(|constraint| constraint.kind == ConstraintKind::PrimaryKey));

    let info = fixture.database.get_table_info(&Fixture::table("items"), false).await.unwrap();
    let key = &info.foreign_keys[0];
    assert_eq!((key.columns.join(","), key.target_columns.join(",")), ("a,b".to_owned(), "customer,number".to_owned()));

    let info = fixture.database.get_table_info(&Fixture::table("customers"), false).await.unwrap();
    let name = &info.columns[1];
    assert_eq!((name.max_length, name.nullable), (Some(40), false), "{name:?}");
    assert!(name.default.as_deref().unwrap().contains("nobody"));
    let unique = info.indexes.iter().find(|index| index.name == "customers_name").unwrap();
    assert!(unique.unique && !unique.primary && unique.definition.to_uppercase().contains("UNIQUE"), "{unique:?}");

    let view = fixture.database.get_table_info(&Fixture::table("big"), true).await.unwrap();
    assert_eq!((view.table.kind, view.count, view.columns.len()), (TableKind::View, RowCount::Exact(2), 3));
    assert!(view.definition.unwrap().contains("orders"));

    let error = fixture.database.get_table_info(&Fixture::table("absent"), false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
}

pub(crate) async fn hostile_names(fixture: &Fixture) {
    for name in
        ["a\"b", "it's", "semi;colon", "DROP TABLE orders", "-- x", "back\\slash", "ü ñ", "select", "a.b", "`tick`"]
    {
        let quoted = match fixture.engine {
            Engine::Mariadb | Engine::Mysql => format!("`{}`", name.replace('`', "``")),
            Engine::Postgres | Engine::Sqlite | Engine::Mock => format!("\"{}\"", name.replace('"', "\"\"")),
        };
        fixture.write(&format!("CREATE TABLE {quoted} ({quoted} integer PRIMARY KEY)")).await;
        fixture.write(&format!("INSERT INTO {quoted} VALUES (1), (2), (3)")).await;
        let info = fixture.database.get_table_info(&Fixture::table(name), true).await.unwrap();
        assert_eq!((info.table.name.as_str(), info.columns[0].name.as_str()), (name, name));
        assert_eq!(info.count, RowCount::Exact(3));
        let query = |after: Option<String>| {
            let mut query = Query::table(Fixture::table(name));
            query.page.size = 2;
            query.page.after = after;
            query
        };
        let first = fixture.database.execute_query(&query(None)).await.unwrap();
        let second = fixture.database.execute_query(&query(first.page.next)).await.unwrap();
        assert_eq!((first.rows.len(), second.rows.len(), second.page.has_next), (2, 1, false));
    }
    assert_eq!(fixture.read("SELECT count(*) FROM orders").await, "[[5]]");
}
