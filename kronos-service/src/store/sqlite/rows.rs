//! Rows of the tables as what they stand for.

use kronos_core::{Id, Timestamp};
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Params, Row, Transaction, named_params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{Outcome, Owner, RunRecord, RunState, Skip, Task, TaskState};

const RUN: &str = "SELECT id, job, operation, epoch, \"trigger\", due, attempt, state, moment, until, owner, owner_name, \
                   outcome FROM runs";

/// A value as JSON: enumerations are words in quotes.
pub(super) fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

fn read<T: DeserializeOwned>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(at)?.as_str()?).map_err(|e| unreadable(at, e))
}

fn id(row: &Row<'_>, at: usize) -> rusqlite::Result<Id> {
    row.get_ref(at)?.as_str()?.parse().map_err(|e| unreadable(at, e))
}

fn unreadable(at: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error))
}

fn time(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    row.get(at).map(Timestamp::from_micros)
}

fn some_time(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(at)?.map(Timestamp::from_micros))
}

fn run(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    let moment = time(row, 8)?;
    let state = match row.get_ref(7)?.as_str()? {
        "queued" => RunState::Queued { since: moment, not_before: time(row, 9)? },
        "running" => RunState::Running {
            owner: Owner { id: id(row, 10)?, name: row.get(11)? },
            started: moment,
            until: time(row, 9)?,
        },
        _ => RunState::Ended { at: moment, outcome: read::<Outcome>(row, 12)? },
    };
    Ok(RunRecord {
        id: id(row, 0)?,
        task: Task { job: row.get(1)?, operation: read(row, 2)? },
        epoch: row.get(3)?,
        trigger: read(row, 4)?,
        due: some_time(row, 5)?,
        attempt: row.get(6)?,
        state,
    })
}

fn all<T>(
    t: &Transaction<'_>,
    sql: &str,
    parameters: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    t.prepare(sql)?.query_map(parameters, read)?.collect()
}

pub(super) fn tasks(t: &Transaction<'_>, only: Option<&Task>) -> rusqlite::Result<Vec<TaskState>> {
    let sql = "SELECT job, operation, rule, handled, epoch, paused, retired FROM tasks
               WHERE :job IS NULL OR (job = :job AND operation = :operation) ORDER BY job, operation";
    let operation = only.map(|task| json(&task.operation)).transpose()?;
    let parameters = named_params! { ":job": only.map(|task| &task.job), ":operation": operation };
    let mut states = all(t, sql, parameters, |row| {
        Ok(TaskState {
            task: Task { job: row.get(0)?, operation: read(row, 1)? },
            rule: row.get(2)?,
            handled: time(row, 3)?,
            epoch: row.get(4)?,
            paused: some_time(row, 5)?,
            retired: row.get(6)?,
            queued: None,
            running: None,
            last: None,
        })
    })?;
    states.sort_by(|a, b| a.task.cmp(&b.task));
    if let Some(task) = only {
        for state in &mut states {
            state.queued = active(t, task, "queued")?;
            state.running = active(t, task, "running")?;
            state.last = last(t, task)?;
        }
        return Ok(states);
    }
    // A statement for each kind, however many tasks there are.
    for run in all_queued(t)? {
        of(&mut states, &run.task.clone(), |state| state.queued = Some(run));
    }
    for run in all(t, &format!("{RUN} WHERE state = 'running'"), [], run)? {
        of(&mut states, &run.task.clone(), |state| state.running = Some(run));
    }
    for run in all(t, &format!("{RUN} WHERE seq IN ({LAST})"), [], run)? {
        of(&mut states, &run.task.clone(), |state| state.last = Some(run));
    }
    Ok(states)
}

fn of(states: &mut [TaskState], task: &Task, change: impl FnOnce(&mut TaskState)) {
    if let Ok(at) = states.binary_search_by(|state| state.task.cmp(task)) {
        change(&mut states[at]);
    }
}

/// The newest run that is over of each task.
const LAST: &str = "SELECT (SELECT seq FROM runs WHERE state = 'ended' AND runs.job = tasks.job
                        AND runs.operation = tasks.operation AND begun = 1 ORDER BY seq DESC LIMIT 1) FROM tasks";

/// The run of a task that is `queued` or `running`.
pub(super) fn active(t: &Transaction<'_>, task: &Task, state: &str) -> rusqlite::Result<Option<RunRecord>> {
    // The state stands in the text, so that the index of that state is used.
    let sql = format!("{RUN} WHERE state = '{state}' AND job = ?1 AND operation = ?2");
    t.prepare(&sql)?.query_row((&task.job, json(&task.operation)?), run).optional()
}

fn last(t: &Transaction<'_>, task: &Task) -> rusqlite::Result<Option<RunRecord>> {
    let sql =
        format!("{RUN} WHERE state = 'ended' AND job = ?1 AND operation = ?2 AND begun = 1 ORDER BY seq DESC LIMIT 1");
    t.prepare(&sql)?.query_row((&task.job, json(&task.operation)?), run).optional()
}

pub(super) fn queued(t: &Transaction<'_>, id: Id) -> rusqlite::Result<Option<RunRecord>> {
    t.prepare(&format!("{RUN} WHERE id = ?1 AND state = 'queued'"))?.query_row([id.to_string()], run).optional()
}

/// A run that goes on, of this owner, or whose deadline lies before this time.
pub(super) fn running(
    t: &Transaction<'_>,
    id: Id,
    owner: Option<Id>,
    before: Option<Timestamp>,
) -> rusqlite::Result<Option<RunRecord>> {
    let sql = format!(
        "{RUN} WHERE id = :id AND state = 'running'
         AND (:owner IS NULL OR owner = :owner) AND (:before IS NULL OR until < :before)"
    );
    let parameters = named_params! {
        ":id": id.to_string(),
        ":owner": owner.map(|owner| owner.to_string()),
        ":before": before.map(Timestamp::as_micros),
    };
    t.prepare(&sql)?.query_row(parameters, run).optional()
}

pub(super) fn all_queued(t: &Transaction<'_>) -> rusqlite::Result<Vec<RunRecord>> {
    all(t, &format!("{RUN} WHERE state = 'queued' ORDER BY job, operation"), [], run)
}

pub(super) fn expired(t: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<Vec<RunRecord>> {
    all(t, &format!("{RUN} WHERE state = 'running' AND until < ?1 ORDER BY job, operation"), [now.as_micros()], run)
}

pub(super) fn runs(t: &Transaction<'_>, task: Option<&Task>, limit: usize) -> rusqlite::Result<Vec<RunRecord>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    match task {
        None => all(t, &format!("{RUN} ORDER BY moment DESC, id DESC LIMIT ?1"), [limit], run),
        Some(task) => all(t, &runs_of_task(), (&task.job, json(&task.operation)?, limit), run),
    }
}

/// Each state has an index of its own: the runs of all other tasks are not looked at.
fn runs_of_task() -> String {
    let of = |state: &str| format!("{RUN} WHERE state = '{state}' AND job = ?1 AND operation = ?2");
    let states = ["queued", "running", "ended"].map(of).join(" UNION ALL ");
    format!("{states} ORDER BY moment DESC, id DESC LIMIT ?3")
}

pub(super) fn skips(t: &Transaction<'_>, task: Option<&Task>, limit: usize) -> rusqlite::Result<Vec<Skip>> {
    let sql = "SELECT job, operation, epoch, first, last, count, reason, at, made_up_by FROM skips
               WHERE :job IS NULL OR (job = :job AND operation = :operation)
               ORDER BY at DESC, last DESC, job DESC, operation DESC LIMIT :limit";
    let operation = task.map(|task| json(&task.operation)).transpose()?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let parameters = named_params! { ":job": task.map(|task| &task.job), ":operation": operation, ":limit": limit };
    all(t, sql, parameters, |row| {
        let made_up_by = match row.get_ref(8)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(id(row, 8)?),
        };
        Ok(Skip {
            task: Task { job: row.get(0)?, operation: read(row, 1)? },
            epoch: row.get(2)?,
            first: time(row, 3)?,
            last: time(row, 4)?,
            count: row.get::<_, i64>(5)?.unsigned_abs(),
            reason: read(row, 6)?,
            at: time(row, 7)?,
            made_up_by,
        })
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, TransactionBehavior};

    use super::*;
    use crate::store::sqlite::schema;

    fn plan(connection: &mut Connection, sql: &str, parameters: impl Params) -> Vec<String> {
        let t = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        all(&t, &format!("EXPLAIN QUERY PLAN {sql}"), parameters, |row| row.get(3)).unwrap()
    }

    #[test]
    fn no_statement_about_some_runs_reads_all_runs() {
        let directory = tempfile::tempdir().unwrap();
        let mut connection = schema::open(&directory.path().join("jobs.db")).unwrap();
        let of_task = plan(&mut connection, &runs_of_task(), ("shop", "backup", 9));
        let newest = plan(&mut connection, &format!("{RUN} ORDER BY moment DESC, id DESC LIMIT ?1"), [9]);
        let last = plan(&mut connection, &format!("{RUN} WHERE seq IN ({LAST})"), []);
        for step in of_task.iter().chain(&last) {
            assert!(!step.contains("SCAN runs"), "{of_task:?} {last:?}");
        }
        assert!(newest.iter().any(|step| step.contains("runs_moment")), "{newest:?}");
    }
}
