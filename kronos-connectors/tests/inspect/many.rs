//! A database of many tables: all of them are listed, and one of them is looked at as if it was alone.
//!
//! `KRONOS_TEST_TABLES` says how many there are. With it, times are compared as well: a list with the
//! bare query of the catalog, a look at one table with the same in a database of few. `benches/tables`
//! sets it to 10,000; by default there are few, and no times.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use kronos_core::inspect::{Inspect, Scope};
use libtest_mimic::{Failed, Trial};
use mysql_async::prelude::Queryable;
use sqlx::Connection as _;

use crate::engines::{ENGINES, Engine, Fixture};

/// Tables of each fixture beside the many.
const OTHERS: usize = 4;
/// How often each way is gone, one after the other.
const ROUNDS: usize = 31;
/// A list may take so much longer than the bare query.
const MOST: f64 = 1.5;
/// And a look at one table among many than before there were any, which was at another time. If others
/// are read as well, it takes a hundred times as long.
const MOST_OF_ONE: f64 = 3.0;

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |engine: Engine| {
        let name = format!("{}::many::tables_are_listed_as_fast_as_the_catalog_tells_them", engine.name());
        match engine.is_there() {
            Ok(()) => Trial::test(name, move || run(engine)),
            Err(why) if engine.is_required() => Trial::test(name, move || Err(Failed::from(why.clone()))),
            Err(_) => Trial::test(format!("{name} (no server: scripts/servers)"), || Ok(())).with_ignored_flag(true),
        }
    };
    ENGINES.into_iter().filter(|engine| *engine != Engine::Mock).map(trial).collect()
}

/// How many tables, and whether times are compared.
fn wanted() -> (usize, bool) {
    match std::env::var("KRONOS_TEST_TABLES") {
        Ok(number) => (number.parse().unwrap(), true),
        Err(_) => (150, false),
    }
}

fn run(engine: Engine) -> Result<(), Failed> {
    let (number, timed) = wanted();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let many = Fixture::new(engine).await;
        let checked = check(&many, number, timed).await;
        many.remove().await;
        checked
    })
}

#[expect(clippy::print_stdout, reason = "a benchmark tells what it has measured")]
async fn check(many: &Fixture, number: usize, timed: bool) -> Result<(), Failed> {
    let look = async || many.database.get_table_info(&Fixture::table("orders"), false).await.unwrap();
    let alone = look().await;
    let before = looks(&look).await;
    make(many, number).await;
    let tables = many.database.list_tables(&Scope::new()).await.unwrap();
    assert_eq!(tables.len(), number + OTHERS);
    assert!(tables.iter().map(|table| &table.name).is_sorted());
    assert_eq!(look().await.columns, alone.columns);
    if !timed {
        return Ok(());
    }
    let infos = Times { ours: looks(&look).await, theirs: before };
    let mut bare = Bare::open(many).await;
    let list = async || assert_eq!(many.database.list_tables(&Scope::new()).await.unwrap().len(), number + OTHERS);
    let mut lists = Times::default();
    for _ in 0..ROUNDS {
        lists.ours.push(timed_once(&list).await);
        let begun = Instant::now();
        assert!(bare.list().await >= number + OTHERS);
        lists.theirs.push(begun.elapsed());
    }
    let mut told = format!("{}: {number} tables\n", many.engine.name());
    let _ = writeln!(told, "  list_tables beside the bare query: {}", lists.shown());
    let _ = write!(told, "  get_table_info beside the same without the others: {}", infos.shown());
    println!("{told}");
    // SQLite's own catalog has no index: it is passed over once, which is what the bare query does.
    let pass = if many.engine == Engine::Sqlite { median(&lists.theirs) / median(&infos.theirs) } else { 0.0 };
    if lists.ratio() > MOST || infos.ratio() > MOST_OF_ONE + pass { Err(Failed::from(told)) } else { Ok(()) }
}

/// The times of looks at one table, with nothing between them that would make a cache forget.
async fn looks<T>(look: &impl AsyncFn() -> T) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        times.push(timed_once(&async || drop(look().await)).await);
    }
    times
}

async fn timed_once(work: &impl AsyncFn()) -> Duration {
    let begun = Instant::now();
    work().await;
    begun.elapsed()
}

/// Times of two ways, by rounds.
#[derive(Default)]
struct Times {
    ours: Vec<Duration>,
    theirs: Vec<Duration>,
}

impl Times {
    /// The median of the rounds' ratios.
    fn ratio(&self) -> f64 {
        let rounds = self.ours.iter().zip(&self.theirs);
        let mut ratios: Vec<f64> = rounds.map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    }

    fn shown(&self) -> String {
        let (ours, theirs) = (median(&self.ours) * 1000.0, median(&self.theirs) * 1000.0);
        format!("{:.2} ({ours:.2} ms beside {theirs:.2} ms)", self.ratio())
    }
}

/// In seconds.
fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

async fn make(fixture: &Fixture, number: usize) {
    let numbers: Vec<usize> = (0..number).collect();
    match fixture.engine {
        Engine::Sqlite | Engine::Mock => {
            let mut all = "BEGIN;".to_owned();
            for n in numbers {
                let _ = write!(all, "CREATE TABLE many_{n} (id INTEGER PRIMARY KEY, v TEXT);");
            }
            rusqlite::Connection::open(fixture.path()).unwrap().execute_batch(&(all + "COMMIT")).unwrap();
        }
        Engine::Postgres => {
            // Each holds some locks until its transaction ends.
            for part in numbers.chunks(200) {
                let (first, last) = (part[0], part[part.len() - 1]);
                let make = "EXECUTE format('CREATE TABLE many_%s (id integer PRIMARY KEY, v text)', i)";
                fixture.write(&format!("DO $$ BEGIN FOR i IN {first}..{last} LOOP {make}; END LOOP; END $$")).await;
            }
        }
        Engine::Mariadb | Engine::Mysql => {
            let mut session = mysql_async::Conn::new(mysql_options(fixture)).await.unwrap();
            for part in numbers.chunks(50) {
                let mut all = String::new();
                for n in part {
                    // Of InnoDB each would have a file of a hundred kilobytes.
                    let _ = write!(all, "CREATE TABLE many_{n} (id integer PRIMARY KEY, v text) ENGINE = MyISAM;");
                }
                session.query_drop(all).await.unwrap();
            }
            session.disconnect().await.unwrap();
        }
    }
}

fn mysql_options(fixture: &Fixture) -> mysql_async::OptsBuilder {
    let settings = fixture.settings();
    mysql_async::OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(settings.port.unwrap())
        .user(settings.user)
        .pass(settings.password.map(|password| password.expose().to_owned()))
        .db_name(Some(fixture.name.clone()))
        .prefer_socket(false)
}

/// A connection of the driver's own, and the plainest query of its catalog.
enum Bare {
    Sqlite(rusqlite::Connection),
    Postgres(sqlx::PgConnection),
    Mysql(mysql_async::Conn),
}

impl Bare {
    async fn open(fixture: &Fixture) -> Self {
        match fixture.engine {
            Engine::Sqlite | Engine::Mock => Self::Sqlite(rusqlite::Connection::open(fixture.path()).unwrap()),
            Engine::Postgres => {
                let settings = fixture.settings();
                let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
                    .host("127.0.0.1")
                    .port(settings.port.unwrap())
                    .username(&settings.user.unwrap())
                    .password(settings.password.unwrap().expose())
                    .database(&fixture.name);
                Self::Postgres(sqlx::PgConnection::connect_with(&options).await.unwrap())
            }
            Engine::Mariadb | Engine::Mysql => {
                Self::Mysql(mysql_async::Conn::new(mysql_options(fixture)).await.unwrap())
            }
        }
    }

    async fn list(&mut self) -> usize {
        match self {
            Self::Sqlite(live) => {
                let mut list = live
                    .prepare_cached(
                        "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name",
                    )
                    .unwrap();
                let rows = list.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
                rows.map(Result::unwrap).count()
            }
            Self::Postgres(session) => {
                let sql = "SELECT n.nspname::text, c.relname::text, c.relkind::text FROM pg_class c \
                    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') \
                    AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";
                let rows: Vec<(String, String, String)> = sqlx::query_as(sql).fetch_all(&mut *session).await.unwrap();
                rows.len()
            }
            Self::Mysql(session) => {
                let rows: Vec<(String, String)> = session.query("SHOW FULL TABLES").await.unwrap();
                rows.len()
            }
        }
    }
}
