//! What a restore is about to do, written down on the target itself: whoever comes after one that was
//! killed finishes it, or undoes it.

use kronos_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::connect::Session;
use super::error::{corrupt, has_code, internal, is_lost};
use super::names::{ident, literal, qualified, token_of};
use super::objects::Object;

/// The table in the database that is being made.
pub(super) const TABLE: &str = "kronos journal";

/// How far a restore is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub(super) enum Step {
    /// It fills a database beside the target.
    Building,
    /// It puts tables into their place.
    Swapping(Box<Swap>),
    /// Everything is in its place; what was replaced is not needed any more.
    Done { old: String },
}

/// Tables that change their places, and what cannot go along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Swap {
    /// The database of the backup, by whose name statements may call it.
    pub from: String,
    /// The target.
    pub to: String,
    /// Where the new tables are made.
    pub beside: String,
    /// Where the old tables go.
    pub old: String,
    /// How the database was made; `None` if it was not there.
    pub former: Option<String>,
    /// It was not there, and this restore has made it. Until this is written down, one that is there
    /// may be somebody else's.
    #[serde(default)]
    pub made: bool,
    /// How it is made now; `None` to leave it as it is.
    pub options: Option<String>,
    pub tables: Vec<String>,
    pub old_tables: Vec<String>,
    pub code: Vec<Object>,
    pub old_code: Vec<Object>,
    /// Table, column, and the sequence's next value that is its default.
    pub defaults: Vec<(String, String, String)>,
    /// Definers are kept.
    pub owners: bool,
}

/// Makes the journal of a database that was just made.
pub(super) async fn begin(session: &mut Session, beside: &str) -> Result<()> {
    let sql = format!(
        "CREATE TABLE {} (id INT PRIMARY KEY, state LONGTEXT CHARACTER SET utf8mb4 NOT NULL) ENGINE = InnoDB",
        qualified(beside, TABLE)
    );
    session.change("begin the journal", &sql).await?;
    write(session, beside, &Step::Building).await
}

/// Writes down what comes next.
pub(super) async fn write(session: &mut Session, beside: &str, step: &Step) -> Result<()> {
    let text = serde_json::to_string(step).map_err(|e| internal("JSON").with_source(e))?;
    let sql = format!("REPLACE INTO {} VALUES (1, {})", qualified(beside, TABLE), literal(&text));
    session.run("write the journal", &sql).await
}

/// What is written there; `None` if there is no journal.
async fn read(session: &mut Session, beside: &str) -> Result<Option<Step>> {
    if !tables(session, beside).await?.iter().any(|name| name == TABLE) {
        return Ok(None);
    }
    let sql = format!("SELECT state FROM {}", qualified(beside, TABLE));
    let rows: Vec<(String,)> = session.rows("read the journal", &sql).await?;
    let Some((text,)) = rows.into_iter().next() else { return Ok(Some(Step::Building)) };
    let wrong = |e| corrupt("the journal of an earlier restore is malformed").with("database", beside).with_source(e);
    serde_json::from_str(&text).map(Some).map_err(wrong)
}

/// Tables and sequences of a database, whether it is there or not.
pub(super) async fn tables(session: &mut Session, database: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = {} AND table_type <> 'VIEW' ORDER BY 1",
        literal(database)
    );
    let found: Vec<(String,)> = session.rows("list the tables", &sql).await?;
    Ok(found.into_iter().map(|(name,)| name).collect())
}

/// The names of the locks that a restore holds: one as long as it lives, one as long as the server
/// works on what it asked for last, be it there or not.
fn locks(token: &str) -> [String; 2] {
    [format!("'kronos restore {token}'"), format!("'kronos swap {token}'")]
}

/// The lock of a session that writes. By its number alone a session cannot be known: a server that was
/// started again gives the same numbers to others.
fn lock_of(token: &str, session: u32) -> String {
    format!("'kronos write {token} {session}'")
}

/// There is no session of this number.
const NO_SESSION: u16 = 1094;

/// How long it is waited for what a killed restore asked for last, in seconds.
const LAST: u32 = 10;

/// Says that the restore of this token is alive, as long as the session is.
pub(super) async fn live(session: &mut Session, token: &str) -> Result<()> {
    take(session, &locks(token)[0]).await
}

/// Says that tables are being put into their place, until the session has ended.
pub(super) async fn begin_swap(session: &mut Session, token: &str) -> Result<()> {
    take(session, &locks(token)[1]).await
}

/// Says that a session writes for a restore.
pub(super) async fn begin_writing(session: &mut Session, token: &str) -> Result<()> {
    let id = session.connection.id();
    take(session, &lock_of(token, id)).await
}

/// Ends a session that wrote for a restore, if the server still has it: what it holds is in the way.
pub(super) async fn end_writing(session: &mut Session, token: &str, former: u32) -> Result<()> {
    take_from(session, &lock_of(token, former)).await
}

/// Goes on in the place of a session that was putting tables into their place, and that the server may
/// still be at work for.
pub(super) async fn continue_swap(session: &mut Session, token: &str) -> Result<()> {
    take_from(session, &locks(token)[1]).await
}

/// Ends the session that holds a lock, which its name says to be ours, and waits until it has let go of
/// everything.
async fn take_from(session: &mut Session, lock: &str) -> Result<()> {
    let what = "end a session";
    if let Some(id) = session.value::<Option<u64>>(what, &format!("SELECT IS_USED_LOCK({lock})")).await? {
        match session.run(what, &format!("KILL CONNECTION {id}")).await {
            Err(error) if !has_code(&error, &[NO_SESSION]) => return Err(error),
            _ => {}
        }
    }
    take_within(session, lock, LAST).await
}

/// Makes sure that the restore still counts as alive, whatever became of its session.
pub(super) async fn is_alive(session: &mut Session, token: &str) -> Result<bool> {
    let sql = format!("SELECT IS_USED_LOCK({}) = CONNECTION_ID()", locks(token)[0]);
    match session.value::<Option<i64>>("mark the restore", &sql).await {
        Ok(mine) => Ok(mine == Some(1)),
        Err(error) if is_lost(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn take(session: &mut Session, lock: &str) -> Result<()> {
    take_within(session, lock, 0).await
}

async fn take_within(session: &mut Session, lock: &str, seconds: u32) -> Result<()> {
    let got: Option<i64> = session.value("mark the restore", &format!("SELECT GET_LOCK({lock}, {seconds})")).await?;
    if got == Some(1) { Ok(()) } else { Err(internal("the name of a restore is taken")) }
}

/// Whether nobody is at work for the restore of this token any more.
async fn is_dead(session: &mut Session, token: &str) -> Result<bool> {
    for lock in locks(token) {
        let got: Option<i64> = session.value("look for remains", &format!("SELECT GET_LOCK({lock}, {LAST})")).await?;
        if got != Some(1) {
            return Ok(false);
        }
        session.run("look for remains", &format!("DO RELEASE_LOCK({lock})")).await?;
    }
    Ok(true)
}

/// What earlier restores to a target left that were killed.
#[derive(Debug)]
pub(super) struct Remains {
    /// What was being made.
    pub beside: String,
    pub step: Step,
}

/// Looks for remains of restores to a target. Of one that is still at work there are none.
pub(super) async fn remains(session: &mut Session, to: &str) -> Result<Vec<Remains>> {
    let sql = "SELECT schema_name FROM information_schema.schemata ORDER BY 1";
    let databases: Vec<(String,)> = session.rows("look for remains", sql).await?;
    let mut remains = Vec::new();
    for (beside,) in databases {
        let Some(token) = token_of(to, &beside) else { continue };
        // Where the old tables are, the journal of the new ones says.
        if beside.ends_with(&format!("_kronos_old_{token}")) {
            continue;
        }
        if !is_dead(session, token).await? {
            return Err(Error::new(ErrorKind::Locked, "another restore to the same database is at work")
                .with("database", beside)
                .with_retry(kronos_core::Retry::Later));
        }
        match read(session, &beside).await? {
            Some(step) => remains.push(Remains { beside, step }),
            // Nobody has got further than to make it.
            None if tables(session, &beside).await?.is_empty() => {
                remains.push(Remains { beside, step: Step::Building });
            }
            // Not ours, whatever its name looks like.
            None => {}
        }
    }
    Ok(remains)
}

/// Drops a database that a restore has made.
pub(super) async fn drop_database(session: &mut Session, name: &str) -> Result<()> {
    let sql = format!("DROP DATABASE IF EXISTS {}", ident(name));
    session.change("remove what a restore has made", &sql).await.map_err(|e| e.with("database", name))
}
