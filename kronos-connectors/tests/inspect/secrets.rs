//! All that is said when things go wrong is searched for every secret that was used: errors with what is
//! beneath them, and what `Debug` shows. What the whole suite says and what is logged in it, by the drivers
//! as well, is searched for them when it has ended.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use futures::TryStreamExt;
use kronos_connectors::inspect::AnyDatabase;
use kronos_core::inspect::{Inspect, Query, Value};
use kronos_core::{Error, ErrorKind, Result, Secret, SourceSettings};

use crate::engines::{Engine, Fixture, pool};
use crate::searched;

/// What was said, and what must not be in it.
#[derive(Default)]
pub(crate) struct Said {
    secrets: Vec<String>,
    texts: Vec<(String, String)>,
}

impl Said {
    /// A secret that nobody has used before.
    pub(crate) fn secret(&mut self) -> String {
        let random = || RandomState::new().build_hasher().finish();
        let secret = format!("s{:016x}{:016x}", random(), random());
        searched::used(&secret);
        self.secrets.push(secret.clone());
        secret
    }

    /// One that was there before.
    pub(crate) fn known_secret(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    pub(crate) fn error(&mut self, what: &str, error: &Error) {
        self.debug(what, error);
        let mut next: Option<&dyn std::error::Error> = Some(error);
        while let Some(one) = next {
            self.texts.push((what.to_owned(), format!("{one}\n{one:?}\n{one:#?}")));
            next = one.source();
        }
    }

    pub(crate) fn debug(&mut self, what: &str, shown: &(impl Debug + ?Sized)) {
        self.texts.push((what.to_owned(), format!("{shown:?}\n{shown:#?}")));
    }

    /// Notes an error, if it is one.
    pub(crate) fn outcome<T>(&mut self, what: &str, outcome: Result<T>) -> Option<ErrorKind> {
        let error = outcome.err()?;
        self.error(what, &error);
        Some(error.kind())
    }

    /// Looks for each secret in all that was said.
    pub(crate) fn search(self) {
        assert!(self.texts.len() > 10, "too little was said: {}", self.texts.len());
        let mut wrong = Vec::new();
        for form in self.secrets.iter().flat_map(|secret| searched::forms(secret)) {
            let texts = self.texts.iter().filter(|(_, text)| text.to_lowercase().contains(&form));
            wrong.extend(texts.map(|(what, text)| format!("{what}: {text}")));
        }
        assert!(wrong.is_empty(), "secrets are shown:\n{}", wrong.join("\n"));
    }
}

pub(crate) async fn nothing_shows_what_is_secret(fixture: &Fixture) {
    let mut said = Said::default();
    if let Some(known) = fixture.secret() {
        said.known_secret(&known);
        logins(fixture, &mut said).await;
    }
    statements(fixture, &mut said).await;
    parameters(fixture, &mut said).await;
    said.search();
}

async fn logins(fixture: &Fixture, said: &mut Said) {
    let (right, wrong) = (said.secret(), said.secret());
    let user = format!("u{}", &right[1..17]);
    let makes = match fixture.engine {
        Engine::Postgres => vec![format!("CREATE ROLE {user} LOGIN PASSWORD '{right}'")],
        _ => vec![
            format!("CREATE USER {user}@'%' IDENTIFIED BY '{right}'"),
            format!("GRANT SELECT ON {}.* TO {user}@'%'", fixture.name),
        ],
    };
    for make in makes {
        fixture.write(&make).await;
    }
    let with = |password: &str, change: &dyn Fn(&mut SourceSettings)| {
        let mut settings = fixture.settings();
        settings.user = Some(user.clone());
        settings.password = Some(Secret::new(password));
        change(&mut settings);
        settings
    };
    let option = |name: &'static str, value: String| {
        move |settings: &mut SourceSettings| {
            settings.options.insert(name.to_owned(), value.clone());
        }
    };
    let server = fixture.engine.name().to_uppercase();
    let strange = std::env::var(format!("KRONOS_TEST_{server}_WRONG_CA")).unwrap();
    let untrusted = |settings: &mut SourceSettings| {
        option("tls", "verify-ca".to_owned())(settings);
        option("tls_ca", strange.clone())(settings);
    };
    let away = |settings: &mut SourceSettings| settings.port = Some(1);
    let expected = [
        ("the right password", with(&right, &|_| {}), None),
        ("a wrong password", with(&wrong, &|_| {}), Some(ErrorKind::Authentication)),
        ("an unreachable server", with(&right, &away), Some(ErrorKind::ConnectionFailed)),
        ("a certificate of somebody else", with(&right, &untrusted), Some(ErrorKind::ConnectionFailed)),
        ("a setting that is none", with(&right, &option("tls", "perhaps".to_owned())), Some(ErrorKind::Config)),
    ];
    for (what, settings, kind) in expected {
        said.debug(what, &settings);
        let mut bounds = pool();
        bounds.acquire_timeout = Duration::from_secs(2);
        let opened = AnyDatabase::open(fixture.engine.connector(), &settings, bounds);
        if kind == Some(ErrorKind::Config) {
            assert_eq!(said.outcome(what, opened), kind, "{what}");
            continue;
        }
        let database = opened.unwrap();
        said.debug(what, &database);
        said.debug(what, &database.describe());
        let found = database.execute_query(&Query::new("SELECT 1")).await;
        assert_eq!(said.outcome(what, found), kind, "{what}");
        said.debug(what, &database.health().await);
        match database.test_connection().await {
            Ok(report) => said.debug(what, &report),
            Err(error) => said.error(what, &error),
        }
        if kind.is_none() {
            said.debug(what, &database.begin(None, false).await.unwrap());
            said.debug(what, &database.stream_query(&Query::new("SELECT 1")).await.unwrap());
            said.debug(what, &database.list_databases(&kronos_core::inspect::Scope::new()).await.unwrap());
        }
        if fixture.engine == Engine::Postgres {
            said.debug(what, &kronos_connectors::postgres::PostgresSettings::from_source(&settings).unwrap());
            said.debug(what, &kronos_connectors::postgres::PostgresSource::from_source(&settings).unwrap());
        } else {
            said.debug(what, &kronos_connectors::mysql::MysqlSettings::from_source(&settings).unwrap());
            said.debug(what, &kronos_connectors::mysql::MysqlSource::from_source(&settings).unwrap());
        }
        database.close().await;
    }
    let place = if fixture.engine == Engine::Postgres { "" } else { "@'%'" };
    let role = if fixture.engine == Engine::Postgres { "ROLE" } else { "USER" };
    fixture.write(&format!("DROP {role} {user}{place}")).await;
}

/// Secrets that are in a statement as texts.
async fn statements(fixture: &Fixture, said: &mut Said) {
    let text = said.secret();
    let of_engine: &[&str] = match fixture.engine {
        Engine::Postgres => &[
            "SELECT '?'::json",
            "SELECT '?'::uuid, '?'::inet, '?'::date",
            "SELECT '{'::json, '{\"a\": ?'::jsonb",
            "SELECT $$?$$ FRM orders",
            "SELECT set_config('work_mem', '?', false)",
            "SELECT 1::text ~ '(?'",
            "ALTER ROLE postgres PASSWORD '?' NONSENSE",
            "ALTER ROLE nobody_at_all PASSWORD '?'",
        ],
        Engine::Mariadb | Engine::Mysql => &[
            "SELECT JSON_EXTRACT('{?', '$.a'), STR_TO_DATE('?', '%Y') + INTERVAL 1 DAY",
            "SELECT JSON_EXTRACT('{}', '?')",
            "INSERT INTO orders (customer, number) VALUES (1, CAST('?' AS DATE))",
            "SELECT \"?\" FRM orders",
            "SELECT 'a' REGEXP '(?'",
            "ALTER USER root@localhost IDENTIFIED BY '?' NONSENSE",
            "ALTER USER nobody@nowhere IDENTIFIED BY '?'",
            "SET SESSION sql_mode = '?'",
        ],
        Engine::Sqlite | Engine::Mock => &[
            "SELECT json_extract('{?', '$.a')",
            "SELECT json_extract('{}', '?')",
            "SELECT \"?\" FRM orders",
            "ATTACH 'no/such/place/?' AS x",
            "PRAGMA key = '?' NONSENSE",
        ],
    };
    let all = [
        "SELEC '?'",
        "SELECT '?' FRM orders",
        "SELECT 1 '?' '?' FROM",
        "SELECT * FROM orders WHERE total = '?' AND",
        "SELECT ('?'",
        "SELECT '?",
        "SELECT 'x'?'",
        "SELECT '?' ?'",
        "SELECT 1; SELECT '?'",
        "SELECT nothing FROM orders WHERE total = '?'",
        "SELECT * FROM absent WHERE total = '?'",
        "SELECT no_such_function('?')",
        "SELECT CAST('?' AS DECIMAL(3, 1)) + 1",
        "INSERT INTO orders (customer, number, total) VALUES (1, 9, '?')",
        "INSERT INTO customers (id, name) VALUES (91, '?'), (92, '?')",
        "INSERT INTO customers (id, name) VALUES ('?', 'x')",
        "INSERT INTO customers (id, name) VALUES (93, '???')",
        "INSERT INTO orders (customer, number, total) VALUES (1, 8, -1), (1, 8, '?')",
        "UPDATE customers SET note = '?'",
        "SET x = '?'",
    ];
    let mut refused = 0;
    for statement in all.iter().chain(of_engine) {
        let (what, statement) = (*statement, statement.replace('?', &text));
        said.debug(what, &fixture.database.judge(&statement));
        said.debug(what, &fixture.database.judge(&statement).to_string());
        for query in [
            Query::new(&statement),
            Query::new(&statement).confirmed(),
            Query::new(&statement).confirmed().writing(),
            Query::new(format!("{statement} {statement}")).confirmed(),
        ] {
            let done = fixture.database.execute_query(&query).await;
            refused += usize::from(said.outcome(what, done).is_some());
        }
        if let Err(error) = stream(fixture, &Query::new(&statement).confirmed()).await {
            said.error(what, &error);
        }
        let mut transaction = fixture.database.begin(None, true).await.unwrap();
        let done = transaction.execute(&Query::new(&statement).confirmed()).await;
        said.outcome(what, done);
        said.debug(what, &transaction);
    }
    assert!(refused > 2 * all.len(), "{refused} were refused");
    let slow = format!("{} /* {text} */", fixture.engine.slow());
    let query = Query::new(slow).confirmed().timeout(Duration::from_millis(500));
    let late = fixture.database.execute_query(&query).await;
    assert_eq!(said.outcome("a statement that takes too long", late), Some(ErrorKind::Timeout));
}

async fn stream(fixture: &Fixture, query: &Query) -> Result<()> {
    let rows = fixture.database.stream_query(query).await?;
    rows.try_collect::<Vec<_>>().await.map(drop)
}

/// Secrets that are bound to parameters.
async fn parameters(fixture: &Fixture, said: &mut Said) {
    let (text, bytes) = (said.secret(), said.secret());
    let place = |number| fixture.engine.parameter(number);
    let (one, two) = (place(1), place(2));
    let queries = [
        Query::new(format!("SELECT CAST({one} AS DECIMAL(3, 1)) + 1")).bind(text.as_str()),
        Query::new(format!("INSERT INTO customers (id, name) VALUES (1, {one})")).bind(text.as_str()),
        Query::new(format!("INSERT INTO customers (id, name) VALUES (94, {one}), (95, {two})"))
            .bind(text.as_str())
            .bind(text.as_str()),
        Query::new(format!("INSERT INTO customers (id, name) VALUES (96, {one})")).bind(text.repeat(3)),
        Query::new(format!("INSERT INTO orders (customer, number, total) VALUES (1, 77, {one})")).bind(text.as_str()),
        Query::new(format!("INSERT INTO orders (customer, number, total) VALUES ({one}, 77, 1)"))
            .bind(Value::Bytes(bytes.clone().into_bytes())),
        Query::new(format!("SELECT {one} FRM orders")).bind(text.as_str()),
        Query::new(format!("SELECT * FROM absent WHERE total = {one}")).bind(text.as_str()),
        Query::new("SELECT 1").bind(text.as_str()),
        Query::new(format!("SELECT {one}, {two}")).bind(text.as_str()),
    ];
    let mut refused = 0;
    for (number, query) in queries.iter().enumerate() {
        let what = format!("parameter {number}");
        said.debug(&what, query);
        for query in [query.clone().confirmed(), query.clone().confirmed().writing()] {
            let done = fixture.database.execute_query(&query).await;
            refused += usize::from(said.outcome(&what, done).is_some());
            let done = stream(fixture, &query).await;
            said.outcome(&what, done);
        }
    }
    assert!(refused > queries.len(), "{refused} were refused");
}
