//! What changes in the tables, each within a transaction of its caller.

use kronos_core::{Id, Timestamp};
use rusqlite::{OptionalExtension, Transaction, named_params};

use super::rows::{self, json};
use crate::store::{
    Adoption, Claimed, Outcome, Owner, RunRecord, RunState, Settled, Settlement, Skip, SkipReason, Task,
};

struct Standing {
    rule: String,
    handled: Timestamp,
    epoch: u32,
    paused: bool,
    retired: bool,
}

fn standing(t: &Transaction<'_>, task: &Task) -> rusqlite::Result<Option<Standing>> {
    let sql = "SELECT rule, handled, epoch, paused IS NOT NULL, retired FROM tasks WHERE job = ?1 AND operation = ?2";
    t.prepare(sql)?
        .query_row((&task.job, json(&task.operation)?), |row| {
            Ok(Standing {
                rule: row.get(0)?,
                handled: Timestamp::from_micros(row.get(1)?),
                epoch: row.get(2)?,
                paused: row.get(3)?,
                retired: row.get(4)?,
            })
        })
        .optional()
}

fn handle(t: &Transaction<'_>, task: &Task, until: Timestamp) -> rusqlite::Result<()> {
    t.prepare("UPDATE tasks SET handled = ?3 WHERE job = ?1 AND operation = ?2")?.execute((
        &task.job,
        json(&task.operation)?,
        until.as_micros(),
    ))?;
    Ok(())
}

pub(super) fn adopt(t: &Transaction<'_>, adoption: &Adoption, now: Timestamp) -> rusqlite::Result<()> {
    let Adoption { task, rule } = adoption;
    let operation = json(&task.operation)?;
    match standing(t, task)? {
        None => {
            let sql = "INSERT INTO tasks (job, operation, rule, handled, epoch, retired) VALUES (?1, ?2, ?3, ?4, 0, 0)";
            t.prepare(sql)?.execute((&task.job, operation, rule, now.as_micros()))?;
        }
        Some(standing) if standing.retired || standing.rule != *rule => {
            handle(t, task, standing.handled.max(now))?;
            t.prepare("UPDATE tasks SET rule = ?3, retired = 0 WHERE job = ?1 AND operation = ?2")?
                .execute((&task.job, operation, rule))?;
        }
        Some(_) => {}
    }
    Ok(())
}

pub(super) fn retire(t: &Transaction<'_>, task: &Task, now: Timestamp, history: usize) -> rusqlite::Result<()> {
    t.prepare("UPDATE tasks SET retired = 1 WHERE job = ?1 AND operation = ?2")?
        .execute((&task.job, json(&task.operation)?))?;
    drop_waiting(t, task, now, SkipReason::Removed, history)
}

fn drop_waiting(
    t: &Transaction<'_>,
    task: &Task,
    now: Timestamp,
    why: SkipReason,
    history: usize,
) -> rusqlite::Result<()> {
    match rows::active(t, task, "queued")? {
        Some(queued) => over(t, &queued, now, Outcome::Dropped(why), None, history),
        None => Ok(()),
    }
}

pub(super) fn settle(
    t: &Transaction<'_>,
    settlement: &Settlement,
    now: Timestamp,
    history: usize,
) -> rusqlite::Result<Settled> {
    let task = &settlement.task;
    let known = (settlement.epoch, settlement.handled);
    let Some(standing) = standing(t, task)?.filter(|standing| (standing.epoch, standing.handled) == known) else {
        return Ok(Settled::Stale);
    };
    if let Some(run) = &settlement.run {
        if standing.paused {
            return Ok(Settled::Paused);
        }
        if let Some(running) = rows::active(t, task, "running")? {
            return Ok(Settled::Running(running.id));
        }
        match rows::active(t, task, "queued")? {
            Some(queued) if !queued.again() => return Ok(Settled::Waiting(queued.id)),
            _ => drop_waiting(t, task, now, SkipReason::Superseded, history)?,
        }
        insert(t, run)?;
    }
    settlement.skips.iter().try_for_each(|skip| explain(t, skip, history))?;
    handle(t, task, settlement.until)?;
    Ok(Settled::Done)
}

pub(super) fn claim(
    t: &Transaction<'_>,
    run: Id,
    owner: &Owner,
    now: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<Claimed> {
    let Some(queued) = rows::queued(t, run)? else { return Ok(Claimed::Gone) };
    if let Some(running) = rows::active(t, &queued.task, "running")? {
        return Ok(Claimed::Busy(Box::new(running)));
    }
    if standing(t, &queued.task)?.is_some_and(|standing| standing.paused) {
        return Ok(Claimed::Paused);
    }
    let running = queued.running(owner, now, until);
    delete(t, run)?;
    insert(t, &running)?;
    Ok(Claimed::Yes(Box::new(running)))
}

pub(super) fn begin(t: &Transaction<'_>, run: &RunRecord) -> rusqlite::Result<Claimed> {
    if standing(t, &run.task)?.is_none() {
        adopt(t, &Adoption { task: run.task.clone(), rule: String::new() }, run.moment())?;
    }
    if let Some(running) = rows::active(t, &run.task, "running")? {
        return Ok(Claimed::Busy(Box::new(running)));
    }
    insert(t, run)?;
    Ok(Claimed::Yes(Box::new(run.clone())))
}

pub(super) fn renew(t: &Transaction<'_>, run: Id, owner: Id, until: Timestamp) -> rusqlite::Result<bool> {
    let sql = "UPDATE runs SET until = ?3 WHERE id = ?1 AND owner = ?2 AND state = 'running'";
    let changed = t.prepare(sql)?.execute((run.to_string(), owner.to_string(), until.as_micros()))?;
    Ok(changed == 1)
}

/// A run that waits or goes on is over; `next` waits in its place unless another does.
pub(super) fn over(
    t: &Transaction<'_>,
    run: &RunRecord,
    at: Timestamp,
    outcome: Outcome,
    next: Option<&RunRecord>,
    history: usize,
) -> rusqlite::Result<()> {
    delete(t, run.id)?;
    insert(t, &run.ended(at, outcome))?;
    if let Some(next) = next
        && rows::active(t, &run.task, "queued")?.is_none()
    {
        insert(t, next)?;
    }
    let sql = "DELETE FROM runs WHERE state = 'ended' AND job = :job AND operation = :operation AND seq <= (
                   SELECT seq FROM runs WHERE state = 'ended' AND job = :job AND operation = :operation
                   ORDER BY seq DESC LIMIT 1 OFFSET :history)";
    bound(t, sql, &run.task, history)
}

fn explain(t: &Transaction<'_>, skip: &Skip, history: usize) -> rusqlite::Result<()> {
    let sql = "INSERT INTO skips (job, operation, epoch, first, last, count, reason, at, made_up_by)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    t.prepare(sql)?.execute((
        &skip.task.job,
        json(&skip.task.operation)?,
        skip.epoch,
        skip.first.as_micros(),
        skip.last.as_micros(),
        i64::try_from(skip.count).unwrap_or(i64::MAX),
        json(&skip.reason)?,
        skip.at.as_micros(),
        skip.made_up_by.map(|run| run.to_string()),
    ))?;
    let sql = "DELETE FROM skips WHERE job = :job AND operation = :operation AND seq <= (
                   SELECT seq FROM skips WHERE job = :job AND operation = :operation
                   ORDER BY seq DESC LIMIT 1 OFFSET :history)";
    bound(t, sql, &skip.task, history)
}

fn bound(t: &Transaction<'_>, sql: &str, task: &Task, history: usize) -> rusqlite::Result<()> {
    let history = i64::try_from(history).unwrap_or(i64::MAX);
    let parameters = named_params! { ":job": task.job, ":operation": json(&task.operation)?, ":history": history };
    t.prepare(sql)?.execute(parameters)?;
    Ok(())
}

/// False: the task is unknown.
pub(super) fn pause(t: &Transaction<'_>, task: &Task, now: Timestamp) -> rusqlite::Result<bool> {
    let sql = "UPDATE tasks SET paused = coalesce(paused, ?3) WHERE job = ?1 AND operation = ?2";
    let changed = t.prepare(sql)?.execute((&task.job, json(&task.operation)?, now.as_micros()))?;
    Ok(changed == 1)
}

/// False: the task is unknown.
pub(super) fn resume(t: &Transaction<'_>, task: &Task, now: Timestamp, history: usize) -> rusqlite::Result<bool> {
    let Some(standing) = standing(t, task)? else { return Ok(false) };
    if !standing.paused {
        return Ok(true);
    }
    t.prepare("UPDATE tasks SET paused = NULL WHERE job = ?1 AND operation = ?2")?
        .execute((&task.job, json(&task.operation)?))?;
    if standing.handled < now {
        let first = Timestamp::from_micros(standing.handled.as_micros() + 1);
        let (epoch, reason) = (standing.epoch, SkipReason::Paused);
        let skip = Skip { task: task.clone(), epoch, first, last: now, count: 0, reason, at: now, made_up_by: None };
        explain(t, &skip, history)?;
        handle(t, task, now)?;
    }
    Ok(true)
}

pub(super) fn rewind(t: &Transaction<'_>, task: &Task, epoch: u32, to: Timestamp) -> rusqlite::Result<bool> {
    let sql = "UPDATE tasks SET epoch = epoch + 1, handled = ?4 WHERE job = ?1 AND operation = ?2 AND epoch = ?3";
    let changed = t.prepare(sql)?.execute((&task.job, json(&task.operation)?, epoch, to.as_micros()))?;
    Ok(changed == 1)
}

fn delete(t: &Transaction<'_>, run: Id) -> rusqlite::Result<()> {
    t.prepare("DELETE FROM runs WHERE id = ?1")?.execute([run.to_string()])?;
    Ok(())
}

fn insert(t: &Transaction<'_>, run: &RunRecord) -> rusqlite::Result<()> {
    let (state, until, owner, outcome) = match &run.state {
        RunState::Queued { not_before, .. } => ("queued", Some(*not_before), None, None),
        RunState::Running { owner, until, .. } => ("running", Some(*until), Some(owner), None),
        RunState::Ended { outcome, .. } => ("ended", None, None, Some(json(outcome)?)),
    };
    let sql = "INSERT INTO runs (id, job, operation, epoch, \"trigger\", due, attempt, state, moment, until, owner,
                   owner_name, begun, outcome)
               VALUES (:id, :job, :operation, :epoch, :trigger, :due, :attempt, :state, :moment, :until, :owner,
                   :owner_name, :begun, :outcome)";
    t.prepare(sql)?.execute(named_params! {
        ":id": run.id.to_string(),
        ":job": run.task.job,
        ":operation": json(&run.task.operation)?,
        ":epoch": run.epoch,
        ":trigger": json(&run.trigger)?,
        ":due": run.due.map(Timestamp::as_micros),
        ":attempt": run.attempt,
        ":state": state,
        ":moment": run.moment().as_micros(),
        ":until": until.map(Timestamp::as_micros),
        ":owner": owner.map(|owner| owner.id.to_string()),
        ":owner_name": owner.map(|owner| &owner.name),
        ":begun": run.begun_and_ended(),
        ":outcome": outcome,
    })?;
    Ok(())
}
