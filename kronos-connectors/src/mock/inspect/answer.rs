//! What a script answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kronos_core::inspect::{Query, ResultColumn, Value};
use kronos_core::{Error, ErrorKind, Result};

use crate::mock::fault::failure;

/// Rows, and how many were changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MockRows {
    pub(super) columns: Vec<ResultColumn>,
    pub(super) rows: Vec<Vec<Value>>,
    pub(super) affected: Option<u64>,
}

impl MockRows {
    /// No rows yet, with these columns.
    pub fn new(columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let column = |name: String| ResultColumn { name, data_type: String::new() };
        Self { columns: columns.into_iter().map(|name| column(name.into())).collect(), ..Self::default() }
    }

    /// No rows and no columns: a statement that changed so many rows.
    pub fn affected(rows: u64) -> Self {
        Self { affected: Some(rows), ..Self::default() }
    }

    /// And another row, with a value for each column.
    #[must_use]
    pub fn row(mut self, values: impl IntoIterator<Item = Value>) -> Self {
        self.rows.push(values.into_iter().collect());
        self
    }

    /// The same with types of the columns, as an engine names them; those left out stay as they are.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        for (column, data_type) in self.columns.iter_mut().zip(types) {
            column.data_type = data_type.into();
        }
        self
    }

    /// The same from a statement that changed so many rows: one that ends in `RETURNING`.
    #[must_use]
    pub fn with_affected(mut self, rows: u64) -> Self {
        self.affected = Some(rows);
        self
    }

    pub(super) fn count(&self) -> u64 {
        self.rows.len() as u64
    }

    /// `Config` when a row does not fit the columns.
    fn checked(self) -> Result<Self> {
        match self.rows.iter().find(|row| row.len() != self.columns.len()) {
            None => Ok(self),
            Some(row) => Err(Error::new(ErrorKind::Config, "a scripted row does not fit its columns")
                .with("columns", self.columns.len())
                .with("values", row.len())),
        }
    }
}

/// A function that answers.
type Answering = Arc<dyn Fn(&Query) -> Result<MockRows> + Send + Sync>;

#[derive(Clone)]
enum What {
    Rows(MockRows),
    Failure(ErrorKind, String),
    Function(Answering),
}

/// What a scripted statement comes back with, how often, and when. Without [`times`](Self::times),
/// each time.
#[derive(Debug, Clone)]
pub struct MockAnswer {
    what: What,
    pub(super) times: Option<u32>,
    pub(super) delay: Duration,
}

impl MockAnswer {
    /// These rows. The program gets the page of them that it asks for, or all as a stream.
    pub fn rows(rows: MockRows) -> Self {
        Self::of(What::Rows(rows))
    }

    /// No rows, but so many were changed. In a session that only reads it is refused.
    pub fn affected(rows: u64) -> Self {
        Self::of(What::Rows(MockRows::affected(rows)))
    }

    /// An error of this kind.
    pub fn error(kind: ErrorKind) -> Self {
        Self::of(What::Failure(kind, "the mock fails as its script says".to_owned()))
    }

    /// What a function makes of the statement: for answers that depend on parameters, and errors with
    /// more to them than a kind.
    pub fn with(function: impl Fn(&Query) -> Result<MockRows> + Send + Sync + 'static) -> Self {
        Self::of(What::Function(Arc::new(function)))
    }

    fn of(what: What) -> Self {
        Self { what, times: None, delay: Duration::ZERO }
    }

    /// The same so many times; then the next script that fits has its turn, or the data.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// The same, once.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// The same after so long. The statement keeps its connection meanwhile, and fails with `Timeout`
    /// when it has less time than that.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// `Config` when it can never be given.
    pub(super) fn validate(&self) -> Result<()> {
        if self.times == Some(0) {
            return Err(Error::new(ErrorKind::Config, "a script that answers no times is none"));
        }
        match &self.what {
            What::Rows(rows) => rows.clone().checked().map(drop),
            What::Failure(..) | What::Function(_) => Ok(()),
        }
    }

    pub(super) fn give(&self, query: &Query) -> Result<MockRows> {
        match &self.what {
            What::Rows(rows) => Ok(rows.clone()),
            What::Failure(kind, message) => Err(failure(*kind, message)),
            What::Function(function) => function(query)?.checked(),
        }
    }
}

impl From<MockRows> for MockAnswer {
    fn from(rows: MockRows) -> Self {
        Self::rows(rows)
    }
}

impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(rows) => rows.fmt(f),
            Self::Failure(kind, message) => f.debug_tuple("Failure").field(kind).field(message).finish(),
            Self::Function(_) => f.write_str("Function"),
        }
    }
}
