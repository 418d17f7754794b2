//! `kronos inspect`: what a source is made of.

use std::fmt::Write;

use clap::Args;
use kronos_core::inspect::{
    Column, Database, Generated, Inspect, RowCount, Schema, Scope, Table, TableInfo, TableName,
};
use kronos_core::{Engine, Result};
use serde::Serialize;

use crate::app::App;
use crate::config;
use crate::errors::{Exit, usage};
use crate::output::table;
use crate::units;

#[derive(Args)]
pub(crate) struct InspectArgs {
    /// A URL or a path, a database of the configuration, or `DATABASE_URL` for what that variable says
    source: String,
    /// What to look at: DB, DB.SCHEMA.TABLE (PostgreSQL) or DB.TABLE; without DB where the source names one.
    /// A name with a dot in it stands in double quotes [default: the databases, or the tables of the one named]
    #[arg(value_name = "DB[.SCHEMA[.TABLE]]")]
    name: Option<String>,
    /// Count the rows, which reads the table
    #[arg(long)]
    exact: bool,
    /// Also what belongs to the engine itself
    #[arg(long)]
    system: bool,
}

/// `kronos.inspect/1`: one of the lists, or a table.
#[derive(Serialize)]
struct Shown {
    source: String,
    engine: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    databases: Option<Vec<Database>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schemas: Option<Vec<Schema>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tables: Option<Vec<Table>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<TableInfo>,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Databases,
    Schemas(String),
    Tables {
        database: Option<String>,
        schema: Option<String>,
    },
    Table(TableName),
    /// A schema of that name, or a table.
    Either(String),
}

pub(crate) async fn run(app: &App, args: &InspectArgs) -> Result<Exit> {
    let source = config::named_source(&app.config, &args.source)?;
    let engine = Engine::new(&source.engine)?;
    let own = source.only_database().map(str::to_owned);
    let place = place(&engine, own.as_deref(), args.name.as_deref())?;
    let database = source.database(&app.registry, &config::pool(&app.config)?)?;
    let found = look(database.as_ref(), place, args).await;
    database.close().await;
    let shown = found?;
    app.out.result("inspect", &shown, || text(&shown))?;
    Ok(Exit::Done)
}

async fn look(database: &dyn Inspect, place: Place, args: &InspectArgs) -> Result<Shown> {
    let mut shown = Shown {
        source: database.describe(),
        engine: database.engine().to_string(),
        databases: None,
        schemas: None,
        tables: None,
        table: None,
    };
    let mut scope = Scope::new();
    scope.system = args.system;
    match place {
        Place::Databases => shown.databases = Some(database.list_databases(&scope).await?),
        Place::Schemas(name) => shown.schemas = Some(database.list_schemas(&scope.database(name)).await?),
        Place::Tables { database: name, schema } => {
            (scope.database, scope.schema) = (name, schema);
            shown.tables = Some(database.list_tables(&scope).await?);
        }
        Place::Table(name) => shown.table = Some(database.get_table_info(&name, args.exact).await?),
        Place::Either(name) => {
            let schemas = database.list_schemas(&Scope::new().with_system()).await?;
            if schemas.iter().any(|schema| schema.name == name) {
                shown.tables = Some(database.list_tables(&scope.schema(name)).await?);
            } else {
                shown.table = Some(database.get_table_info(&TableName::new(name), args.exact).await?);
            }
        }
    }
    Ok(shown)
}

/// What a name means: it begins with a database unless the source names one.
fn place(engine: &Engine, own: Option<&str>, name: Option<&str>) -> Result<Place> {
    let Some(name) = name else {
        return Ok(match own {
            Some(_) => Place::Tables { database: None, schema: None },
            None => Place::Databases,
        });
    };
    let mut parts = parts(name)?;
    let has_schemas = *engine == Engine::POSTGRES;
    let most = if has_schemas { 3 } else { 2 };
    let wrong = || {
        let form = if has_schemas { "DB.SCHEMA.TABLE" } else { "DB.TABLE" };
        usage(
            "there are too many parts in the name",
            &format!("write {form}; a name with a dot stands in double quotes"),
        )
    };
    // The name of the one database may be said again.
    if own.is_some_and(|own| parts.len() > 1 && parts[0] == own && (parts.len() == most || !has_schemas)) {
        parts.remove(0);
    }
    let database = if own.is_none() { Some(parts.remove(0)) } else { None };
    let mut rest = parts.into_iter();
    Ok(match (database, rest.next(), rest.next(), rest.next(), has_schemas) {
        (_, _, _, Some(_), _) | (_, _, Some(_), _, false) => return Err(wrong()),
        (Some(name), None, ..) if has_schemas => Place::Schemas(name),
        (database, None, ..) => Place::Tables { database, schema: None },
        (database, Some(table), None, _, false) => Place::Table(TableName { database, schema: None, name: table }),
        (None, Some(name), None, _, true) => Place::Either(name),
        (database, Some(schema), None, _, true) => Place::Tables { database, schema: Some(schema) },
        (database, schema, Some(name), None, true) => Place::Table(TableName { database, schema, name }),
    })
}

/// The parts of a name between dots; one in double quotes may have dots.
fn parts(name: &str) -> Result<Vec<String>> {
    let (mut parts, mut part, mut quoted, mut was_quoted) = (Vec::new(), String::new(), false, false);
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => part.extend(letters.next()),
            '"' if quoted || part.is_empty() => (quoted, was_quoted) = (!quoted, true),
            '.' if !quoted => parts.push((std::mem::take(&mut part), std::mem::take(&mut was_quoted))),
            other => part.push(other),
        }
    }
    parts.push((part, was_quoted));
    if quoted || parts.iter().any(|(part, was_quoted)| part.is_empty() && !was_quoted) {
        return Err(usage(
            "the name is not complete",
            "write DB.SCHEMA.TABLE; a name with a dot stands in double quotes",
        ));
    }
    Ok(parts.into_iter().map(|(part, _)| part).collect())
}

/// The name of a table for `kronos query --table`.
pub(crate) fn table_name(engine: &Engine, own: Option<&str>, name: &str) -> Result<TableName> {
    match place(engine, own, Some(name))? {
        Place::Table(name) => Ok(name),
        Place::Either(name) => Ok(TableName::new(name)),
        _ => Err(usage("this is not the name of a table", "write DB.SCHEMA.TABLE (PostgreSQL) or DB.TABLE")),
    }
}

fn text(shown: &Shown) -> String {
    let or = |text: &Option<String>| text.clone().unwrap_or_default();
    let size = |size: Option<u64>| size.map_or_else(String::new, units::bytes);
    if let Some(databases) = &shown.databases {
        let row = |d: &Database| vec![d.name.clone(), size(d.size), or(&d.owner), or(&d.encoding), or(&d.collation)];
        return table(
            &["DATABASE", ">SIZE", "OWNER", "ENCODING", "COLLATION"],
            &databases.iter().map(row).collect::<Vec<_>>(),
        );
    }
    if let Some(schemas) = &shown.schemas {
        let row = |s: &Schema| vec![s.name.clone(), or(&s.owner)];
        return table(&["SCHEMA", "OWNER"], &schemas.iter().map(row).collect::<Vec<_>>());
    }
    if let Some(tables) = &shown.tables {
        let row = |t: &Table| {
            let rows = t.rows.map_or_else(String::new, |rows| format!("~{rows}"));
            vec![or(&t.schema), t.name.clone(), kind(t), rows, or(&t.comment)]
        };
        return table(&["SCHEMA", "TABLE", "KIND", ">ROWS", "COMMENT"], &tables.iter().map(row).collect::<Vec<_>>());
    }
    shown.table.as_ref().map(of_table).unwrap_or_default()
}

fn kind(table: &Table) -> String {
    serde_json::to_value(table.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default()
}

fn of_table(info: &TableInfo) -> String {
    let schema = info.table.schema.as_ref().map(|schema| format!("{schema}.")).unwrap_or_default();
    let rows = match info.count {
        RowCount::Exact(rows) => units::count(rows, "row"),
        RowCount::Estimate(rows) => format!("about {}", units::count(rows, "row")),
        RowCount::Unknown => "rows not counted".to_owned(),
    };
    let size = info.table.size.map_or_else(String::new, |size| format!(", {}", units::bytes(size)));
    let mut text = format!("{schema}{}: {}, {rows}{size}\n\n", info.table.name, kind(&info.table));
    let rows: Vec<Vec<String>> = info.columns.iter().map(of_column).collect();
    text.push_str(&table(&["COLUMN", "TYPE", "NULL", "KEY", "DEFAULT", "COMMENT"], &rows));
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}");
            for line in lines {
                let _ = writeln!(text, "  {}", line.replace('\n', "\n  "));
            }
        }
    };
    section("indexes", info.indexes.iter().map(|index| format!("{}: {}", index.name, index.definition)).collect());
    let foreign = info.foreign_keys.iter().map(|key| {
        let schema = key.target_schema.as_ref().map(|schema| format!("{schema}.")).unwrap_or_default();
        let (own, other) = (key.columns.join(", "), key.target_columns.join(", "));
        format!("({own}) -> {schema}{} ({other}), on delete {}", key.target_table, key.on_delete.to_lowercase())
    });
    section("foreign keys", foreign.collect());
    let named = |name: &Option<String>| name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    section("constraints", info.constraints.iter().map(|c| format!("{}{}", named(&c.name), c.definition)).collect());
    section("definition", info.definition.iter().cloned().collect());
    text
}

fn of_column(column: &Column) -> Vec<String> {
    let default = match (&column.generated, &column.default) {
        (Some(Generated::Stored(expression)), _) => format!("= {expression} (stored)"),
        (Some(Generated::Virtual(expression)), _) => format!("= {expression}"),
        (Some(Generated::Identity(_)), _) => "numbered".to_owned(),
        (_, default) => default.clone().unwrap_or_default(),
    };
    let null = match column.frequency {
        Some(share) => format!("{:.0} %", share * 100.0),
        None if column.nullable => "yes".to_owned(),
        None => String::new(),
    };
    let key = column.key.map_or_else(String::new, |key| key.to_string());
    vec![column.name.clone(), column.data_type.clone(), null, key, default, column.comment.clone().unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(database: Option<&str>, schema: Option<&str>, name: &str) -> Place {
        Place::Table(TableName {
            database: database.map(str::to_owned),
            schema: schema.map(str::to_owned),
            name: name.to_owned(),
        })
    }

    #[test]
    fn names_begin_with_a_database_unless_the_source_names_one() {
        let of = |engine: &Engine, own, name| place(engine, own, name).unwrap();
        let (postgres, mysql) = (Engine::POSTGRES, Engine::MYSQL);
        assert_eq!(of(&postgres, None, None), Place::Databases);
        assert_eq!(of(&postgres, Some("shop"), None), Place::Tables { database: None, schema: None });
        assert_eq!(of(&postgres, None, Some("shop")), Place::Schemas("shop".into()));
        let schema = Place::Tables { database: Some("shop".into()), schema: Some("public".into()) };
        assert_eq!(of(&postgres, None, Some("shop.public")), schema);
        assert_eq!(of(&postgres, None, Some("shop.public.a")), table(Some("shop"), Some("public"), "a"));
        assert_eq!(of(&postgres, Some("shop"), Some("shop.public.a")), table(None, Some("public"), "a"));
        assert_eq!(of(&postgres, Some("shop"), Some("public.a")), table(None, Some("public"), "a"));
        assert_eq!(of(&postgres, Some("shop"), Some("a")), Place::Either("a".into()));
        assert_eq!(of(&mysql, None, Some("shop")), Place::Tables { database: Some("shop".into()), schema: None });
        assert_eq!(of(&mysql, None, Some("shop.a")), table(Some("shop"), None, "a"));
        assert_eq!(of(&mysql, Some("shop"), Some("shop.a")), table(None, None, "a"));
        assert_eq!(of(&Engine::SQLITE, Some("x/app.db"), Some("\"a.b\"")), table(None, None, "a.b"));
        assert!(place(&mysql, None, Some("a.b.c")).is_err() && place(&postgres, None, Some("a.b.c.d")).is_err());
        for wrong in ["", ".", "a.", "\"a", "a..b"] {
            assert!(parts(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parts("\"a\"\"b\".c").unwrap(), ["a\"b", "c"]);
    }
}
