//! `kronos query`: one statement, read-only unless told otherwise.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::time::Duration;

use clap::Args;
use kronos_core::inspect::{Inspect, PageRequest, Query, QueryResult, Value, Verdict};
use kronos_core::{Engine, Error, ErrorKind, Result};

use super::inspect::table_name;
use crate::app::App;
use crate::config;
use crate::errors::{Exit, usage};
use crate::output::table;
use crate::units;

#[derive(Args)]
pub(crate) struct QueryArgs {
    /// A URL or a path, a database of the configuration, or `DATABASE_URL` for what that variable says
    pub(crate) source: String,
    /// The statement; for MongoDB a command in extended JSON; - reads it from standard input
    #[arg(value_name = "SQL", required_unless_present = "table", conflicts_with = "table")]
    pub(crate) statement: Option<String>,
    /// The rows of a table, by its key: DB.SCHEMA.TABLE, DB.TABLE, or less where the source names a database
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// The database, where the source names none
    #[arg(long, value_name = "DB")]
    database: Option<String>,
    /// A value for the next parameter ($1 of PostgreSQL, ? of the others); may be given several times
    #[arg(long, value_name = "VALUE", conflicts_with = "table", allow_hyphen_values = true)]
    param: Vec<String>,
    /// The page, from 1
    #[arg(long, value_name = "N", default_value_t = 1)]
    page: u64,
    /// Rows in a page
    #[arg(long, value_name = "N", default_value_t = 100)]
    page_size: u64,
    /// Go on where a page of a table ended: its `next`
    #[arg(long, value_name = "PLACE", requires = "table", conflicts_with = "page")]
    after: Option<String>,
    /// Count all rows as well
    #[arg(long)]
    total: bool,
    /// How long it may take before it is cancelled [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = units::parse_patience)]
    timeout: Option<Duration>,
    /// In a session that may write
    #[arg(long)]
    pub(crate) write: bool,
    /// Run it although it is dangerous
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(app: &App, args: &QueryArgs) -> Result<Exit> {
    let source = config::named_source(&app.config, &args.source)?;
    let engine = Engine::new(&source.engine)?;
    let own = source.only_database().map(str::to_owned);
    let mut query = match (&args.table, &args.statement) {
        (Some(name), _) => {
            let own = own.as_deref().or(args.database.as_deref());
            Query::table(table_name(&engine, own, name)?)
        }
        (None, Some(text)) => Query::new(statement(text)?),
        (None, None) => return Err(usage("no statement was given", "kronos query SOURCE SQL")),
    };
    let mut page = PageRequest::new(args.page).size(args.page_size);
    page.after.clone_from(&args.after);
    page.total = args.total;
    query = query.page(page);
    query.page.skipped()?;
    query.parameters = args.param.iter().map(|text| parameter(text)).collect();
    query.database.clone_from(&args.database);
    query.timeout = args.timeout;
    query.write = args.write;
    query.confirmed = args.yes;
    let database = source.database(&app.registry, &config::pool(&app.config)?)?;
    let done = ask_and_run(database.as_ref(), query, &app.run.cancel).await;
    database.close().await;
    let result = done?;
    app.out.result("query", &result, || text(&result))?;
    if let Some(more) = more(&result) {
        app.out.note(&more);
    }
    Ok(Exit::Done)
}

async fn ask_and_run(
    database: &dyn Inspect,
    mut query: Query,
    cancel: &tokio_util::sync::CancellationToken,
) -> Result<QueryResult> {
    if let kronos_core::inspect::Text::Statement(text) = &query.text
        && !query.confirmed
    {
        let verdict = database.judge(text);
        if verdict.requires_confirmation && verdict.statements == 1 {
            confirm(text, &verdict)?;
            query.confirmed = true;
        }
    }
    let run = cancel.run_until_cancelled(database.execute_query(&query));
    run.await.unwrap_or_else(|| Err(Error::new(ErrorKind::Cancelled, "interrupted")))
}

/// Asks whoever sits at the terminal; without one, `--yes` is needed.
fn confirm(statement: &str, verdict: &Verdict) -> Result<()> {
    let refused = |hint: &str| {
        Error::new(ErrorKind::InvalidQuery, "the statement needs a confirmation")
            .with("because", verdict)
            .with("hint", hint)
    };
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(refused("give --yes to run it all the same"));
    }
    let mut out = std::io::stderr().lock();
    let _ = write!(out, "{statement}\n\n{verdict}\nRun it? [y/N] ");
    let _ = out.flush();
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|e| Error::new(ErrorKind::Io, "the answer could not be read").with_source(e))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(refused("nothing was done")),
    }
}

fn statement(given: &str) -> Result<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .read_to_string(&mut text)
        .map_err(|e| Error::new(ErrorKind::Io, "the statement could not be read from standard input").with_source(e))?;
    Ok(text)
}

/// What looks like a number is one; `NULL` is none; all else is text, and so is what stands in quotes.
fn parameter(text: &str) -> Value {
    if text == "NULL" {
        return Value::Null;
    }
    if let Some(quoted) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return Value::Text(quoted.to_owned());
    }
    let number = text.parse().map(Value::Int).ok().filter(|_| !text.starts_with('+'));
    number.unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// A value in a cell: in one line, and not endless.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "NULL".to_owned(),
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => {
            let shown: String = bytes.iter().take(32).fold(String::from("0x"), |mut text, byte| {
                use std::fmt::Write as _;
                let _ = write!(text, "{byte:02x}");
                text
            });
            if bytes.len() > 32 { format!("{shown}… ({})", units::bytes(bytes.len() as u64)) } else { shown }
        }
        other => serde_json::to_string(other).unwrap_or_default(),
    };
    // What a terminal would obey is shown, not sent.
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

fn text(result: &QueryResult) -> String {
    let mut text = String::new();
    if !result.columns.is_empty() {
        let numbers = |at: usize| {
            let is_number =
                |value: &Value| matches!(value, Value::Int(_) | Value::UInt(_) | Value::Float(_) | Value::Null);
            !result.rows.is_empty() && result.rows.iter().all(|row| row.get(at).is_some_and(is_number))
        };
        let heading: Vec<String> = (0..)
            .zip(&result.columns)
            .map(|(at, column)| if numbers(at) { format!(">{}", column.name) } else { column.name.clone() })
            .collect();
        let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> = result.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        text = table(&heading, &rows);
    }
    if let Some(affected) = result.rows_affected {
        text.push_str(&units::count(affected, "row"));
        text.push_str(" changed\n");
    }
    text
}

/// That there is more, and how to get it.
fn more(result: &QueryResult) -> Option<String> {
    let page = &result.page;
    let total = page.total.map(|total| format!(" of {}", units::count(total, "row"))).unwrap_or_default();
    if !page.has_next {
        return (page.number > 1 && page.total.is_some()).then(|| format!("the last page{total}"));
    }
    let next = match &page.next {
        Some(place) => format!("--after '{}'", place.replace('\'', "'\\''")),
        None => format!("--page {}", page.number + 1),
    };
    Some(format!("there is more{total}: {next}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbers_or_text() {
        let of = |text: &str| parameter(text);
        assert_eq!((of("5"), of("-5"), of("NULL")), (Value::Int(5), Value::Int(-5), Value::Null));
        assert_eq!((of("'5'"), of("a"), of("")), ("5".into(), "a".into(), "".into()));
        assert_eq!(of("'"), "'".into());
    }

    #[test]
    fn a_cell_holds_nothing_that_a_terminal_obeys() {
        assert_eq!(cell(&"a\x1b[2J\nb".into()), "a\\u{1b}[2J\\nb");
        assert_eq!(cell(&Value::Bytes(vec![0; 33])).chars().count(), "0x".len() + 64 + "… (33 B)".chars().count());
    }
}
