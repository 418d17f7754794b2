//! What every job store keeps to, on the one in memory and the one in a file.

#![allow(clippy::unwrap_used)]

mod alike;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kronos_core::{ErrorKind, Id, Timestamp};
use kronos_service::store::{
    Adoption, Claimed, JobStore, MemoryStore, Outcome, Owner, RunRecord, RunState, Settled, Settlement, Skip,
    SkipReason, SqliteStore, Task,
};
use kronos_service::{RunReport, Trigger};

const HISTORY: usize = 20;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + minutes * 60_000_000)
}

fn id(number: u8) -> Id {
    Id([number; 16])
}

fn owner(number: u8) -> Owner {
    Owner { id: id(number), name: format!("daemon {number}") }
}

fn shop() -> Task {
    Task::backup("shop / Größe")
}

fn queued(number: u8, task: &Task, due: i64) -> RunRecord {
    let state = RunState::Queued { since: at(due), not_before: at(due) };
    RunRecord {
        id: id(number),
        task: task.clone(),
        epoch: 0,
        trigger: Trigger::Schedule,
        due: Some(at(due)),
        attempt: 1,
        state,
    }
}

fn retry(number: u8, task: &Task, due: i64) -> RunRecord {
    RunRecord { trigger: Trigger::Retry, attempt: 2, ..queued(number, task, due) }
}

fn running(number: u8, task: &Task, by: u8, started: i64, until: i64) -> RunRecord {
    let state = RunState::Running { owner: owner(by), started: at(started), until: at(until) };
    RunRecord { trigger: Trigger::Manual, due: None, state, ..queued(number, task, started) }
}

fn settlement(task: &Task, handled: i64, until: i64, run: Option<RunRecord>) -> Settlement {
    Settlement { task: task.clone(), epoch: 0, handled: at(handled), until: at(until), run, skips: Vec::new() }
}

fn skip(task: &Task, first: i64, last: i64) -> Skip {
    let (task, reason) = (task.clone(), SkipReason::Missed);
    Skip { task, epoch: 0, first: at(first), last: at(last), count: 3, reason, at: at(last), made_up_by: Some(id(9)) }
}

fn reported(run: &RunRecord, finished: i64) -> Outcome {
    let mut report = RunReport::begin(run.id, run.task.operation, &run.task.job, run.trigger, run.moment());
    report.finished = at(finished);
    Outcome::Reported(Box::new(report))
}

async fn adopted(store: &dyn JobStore) {
    store.adopt(&[Adoption { task: shop(), rule: "UTC @daily".to_owned() }], at(0)).await.unwrap();
}

async fn handled(store: &dyn JobStore) -> Timestamp {
    store.task(&shop()).await.unwrap().unwrap().handled
}

macro_rules! on_every_store {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test] async fn $name() { super::$name(&super::MemoryStore::with_history(super::HISTORY)).await }
            )*
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                super::$name(&super::sqlite_in(directory.path()).await).await
            })*
        }
    };
}

async fn sqlite_in(directory: &Path) -> SqliteStore {
    SqliteStore::open_with_history(directory.join("state").join("jobs.db"), HISTORY).await.unwrap()
}

on_every_store! {
    a_task_owes_nothing_when_it_is_new_changed_or_back
    what_is_settled_is_settled_once
    a_task_has_one_run_that_waits_and_one_that_goes_on
    a_retry_makes_room_for_what_is_due
    a_claim_holds_until_its_deadline
    a_paused_task_begins_nothing_by_itself
    a_run_by_hand_is_claimed_as_well
    history_is_bounded_and_newest_first
    a_clock_set_back_begins_another_epoch
}

async fn a_task_owes_nothing_when_it_is_new_changed_or_back(store: &dyn JobStore) {
    adopted(store).await;
    assert_eq!(handled(store).await, at(0));
    let adopt = |rule: &'static str, now| {
        let adoption = Adoption { task: shop(), rule: rule.to_owned() };
        async move { store.adopt(&[adoption], at(now)).await.unwrap() }
    };
    adopt("UTC @daily", 10).await;
    assert_eq!(handled(store).await, at(0), "what was due meanwhile is still owed");
    adopt("UTC @hourly", 20).await;
    assert_eq!(handled(store).await, at(20));
    assert_eq!(
        store.settle(&[settlement(&shop(), 20, 30, Some(queued(1, &shop(), 30)))], at(30)).await.unwrap(),
        [Settled::Done]
    );
    store.retire(&[shop()], at(40)).await.unwrap();
    let state = store.task(&shop()).await.unwrap().unwrap();
    assert!(state.retired && state.queued.is_none() && state.last.is_none());
    let runs = store.runs(Some(&shop()), 10).await.unwrap();
    assert!(matches!(&runs[0].state, RunState::Ended { outcome: Outcome::Dropped(SkipReason::Removed), .. }));
    adopt("UTC @hourly", 50).await;
    let state = store.task(&shop()).await.unwrap().unwrap();
    assert!(!state.retired && state.handled == at(50) && state.rule == "UTC @hourly");
    adopt("UTC @daily", 45).await;
    assert_eq!(handled(store).await, at(50), "it never goes back");
}

async fn what_is_settled_is_settled_once(store: &dyn JobStore) {
    adopted(store).await;
    let mut first = settlement(&shop(), 0, 10, Some(queued(1, &shop(), 10)));
    first.skips.push(skip(&shop(), 1, 9));
    let second = settlement(&shop(), 0, 10, Some(queued(2, &shop(), 10)));
    let unknown = settlement(&Task::backup("other"), 0, 10, None);
    let settled = store.settle(&[first.clone(), second, unknown], at(10)).await.unwrap();
    assert_eq!(settled, [Settled::Done, Settled::Stale, Settled::Stale]);
    let state = store.task(&shop()).await.unwrap().unwrap();
    assert_eq!((state.handled, state.queued), (at(10), first.run));
    assert_eq!(store.skips(None, 10).await.unwrap(), first.skips);
    let of_another_epoch = Settlement { epoch: 1, ..settlement(&shop(), 10, 20, None) };
    assert_eq!(store.settle(&[of_another_epoch], at(20)).await.unwrap(), [Settled::Stale]);
}

async fn a_task_has_one_run_that_waits_and_one_that_goes_on(store: &dyn JobStore) {
    adopted(store).await;
    let settle = |number, handled, until| {
        let settlement = settlement(&shop(), handled, until, Some(queued(number, &shop(), until)));
        async move { store.settle(&[settlement], at(until)).await.unwrap().remove(0) }
    };
    assert_eq!(settle(1, 0, 10).await, Settled::Done);
    assert_eq!(settle(2, 10, 20).await, Settled::Waiting(id(1)));
    assert_eq!(handled(store).await, at(10), "what is refused changes nothing");
    let Claimed::Yes(run) = store.claim(id(1), &owner(7), at(20), at(21)).await.unwrap() else { panic!("it waits") };
    assert_eq!(run.state, RunState::Running { owner: owner(7), started: at(20), until: at(21) });
    assert_eq!((run.id, run.due, run.attempt), (id(1), Some(at(10)), 1));
    assert_eq!(store.claim(id(1), &owner(8), at(20), at(21)).await.unwrap(), Claimed::Gone);
    assert_eq!(settle(2, 10, 20).await, Settled::Running(id(1)));
    let mut reasons = settlement(&shop(), 10, 20, None);
    reasons.skips.push(skip(&shop(), 20, 20));
    assert_eq!(store.settle(&[reasons], at(20)).await.unwrap(), [Settled::Done]);
    let state = store.task(&shop()).await.unwrap().unwrap();
    assert_eq!((state.queued, state.running), (None, Some(*run)));
}

async fn a_retry_makes_room_for_what_is_due(store: &dyn JobStore) {
    adopted(store).await;
    store.settle(&[settlement(&shop(), 0, 10, Some(queued(1, &shop(), 10)))], at(10)).await.unwrap();
    let Claimed::Yes(run) = store.claim(id(1), &owner(7), at(10), at(11)).await.unwrap() else { panic!("it waits") };
    let next = retry(2, &shop(), 10);
    assert!(!store.end(id(1), id(8), at(12), &reported(&run, 12), Some(&next)).await.unwrap(), "it is not theirs");
    assert!(store.end(id(1), id(7), at(12), &reported(&run, 12), Some(&next)).await.unwrap());
    assert!(!store.end(id(1), id(7), at(12), &reported(&run, 12), None).await.unwrap(), "it is over");
    let state = store.task(&shop()).await.unwrap().unwrap();
    assert_eq!(state.queued, Some(next));
    assert_eq!(state.last.as_ref().and_then(RunRecord::report).map(|report| report.finished), Some(at(12)));
    let due = settlement(&shop(), 10, 20, Some(queued(3, &shop(), 20)));
    assert_eq!(store.settle(&[due], at(20)).await.unwrap(), [Settled::Done]);
    let state = store.task(&shop()).await.unwrap().unwrap();
    assert_eq!(state.queued.map(|run| run.id), Some(id(3)));
    assert_eq!(state.last.map(|run| run.id), Some(id(1)), "what never began is not the last run");
    let old = store.runs(None, 10).await.unwrap().into_iter().find(|run| run.id == id(2)).unwrap();
    assert_eq!(old.state, RunState::Ended { at: at(20), outcome: Outcome::Dropped(SkipReason::Superseded) });
}

async fn a_claim_holds_until_its_deadline(store: &dyn JobStore) {
    adopted(store).await;
    store.settle(&[settlement(&shop(), 0, 10, Some(queued(1, &shop(), 10)))], at(10)).await.unwrap();
    store.claim(id(1), &owner(7), at(10), at(12)).await.unwrap();
    assert!(store.expired(at(12)).await.unwrap().is_empty());
    assert!(!store.interrupt(id(1), at(12), None).await.unwrap());
    assert!(!store.renew(id(1), id(8), at(99)).await.unwrap(), "only its owner renews it");
    assert!(store.renew(id(1), id(7), at(14)).await.unwrap());
    assert!(!store.interrupt(id(1), at(13), None).await.unwrap());
    assert_eq!(store.expired(at(15)).await.unwrap().iter().map(|run| run.id).collect::<Vec<_>>(), [id(1)]);
    assert!(store.interrupt(id(1), at(15), Some(&retry(2, &shop(), 10))).await.unwrap());
    assert!(!store.interrupt(id(1), at(15), None).await.unwrap(), "once is enough");
    assert!(!store.renew(id(1), id(7), at(20)).await.unwrap());
    assert!(store.expired(at(99)).await.unwrap().is_empty());
    let state = store.task(&shop()).await.unwrap().unwrap();
    assert!(matches!(state.last.unwrap().state, RunState::Ended { outcome: Outcome::Interrupted, .. }));
    assert_eq!(state.queued.map(|run| run.id), Some(id(2)));
    assert!(store.drop_queued(id(2), at(16), SkipReason::Paused).await.unwrap());
    assert!(!store.drop_queued(id(2), at(16), SkipReason::Paused).await.unwrap());
}

async fn a_paused_task_begins_nothing_by_itself(store: &dyn JobStore) {
    for error in [store.pause(&shop(), at(0)).await, store.resume(&shop(), at(0)).await] {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
    }
    adopted(store).await;
    store.settle(&[settlement(&shop(), 0, 10, Some(queued(1, &shop(), 10)))], at(10)).await.unwrap();
    store.pause(&shop(), at(11)).await.unwrap();
    store.pause(&shop(), at(12)).await.unwrap();
    assert_eq!(store.task(&shop()).await.unwrap().unwrap().paused, Some(at(11)));
    assert_eq!(store.claim(id(1), &owner(7), at(12), at(13)).await.unwrap(), Claimed::Paused);
    store.drop_queued(id(1), at(12), SkipReason::Paused).await.unwrap();
    let due = settlement(&shop(), 10, 20, Some(queued(2, &shop(), 20)));
    assert_eq!(store.settle(&[due], at(20)).await.unwrap(), [Settled::Paused]);
    store.resume(&shop(), at(30)).await.unwrap();
    let state = store.task(&shop()).await.unwrap().unwrap();
    assert_eq!((state.paused, state.handled), (None, at(30)));
    let reason = store.skips(Some(&shop()), 1).await.unwrap().remove(0);
    assert!(reason.first > at(10) && reason.last == at(30) && reason.reason == SkipReason::Paused);
    store.resume(&shop(), at(40)).await.unwrap();
    assert_eq!(handled(store).await, at(30), "it was not paused");
}

async fn a_run_by_hand_is_claimed_as_well(store: &dyn JobStore) {
    let by_hand = running(1, &shop(), 7, 5, 6);
    assert_eq!(store.begin(&by_hand).await.unwrap(), Claimed::Yes(Box::new(by_hand.clone())), "known or not");
    assert_eq!(store.begin(&running(2, &shop(), 8, 5, 6)).await.unwrap(), Claimed::Busy(Box::new(by_hand.clone())));
    adopted(store).await;
    assert_eq!(handled(store).await, at(5), "it owes nothing for the time before it was known");
    let due = settlement(&shop(), 5, 10, Some(queued(3, &shop(), 10)));
    assert_eq!(store.settle(&[due], at(10)).await.unwrap(), [Settled::Running(id(1))]);
    let other = Task::new("shop / Größe", kronos_service::Operation::Verify);
    assert!(
        matches!(store.begin(&running(4, &other, 7, 5, 6)).await.unwrap(), Claimed::Yes(_)),
        "another task of the job"
    );
    assert!(store.end(id(1), id(7), at(11), &reported(&by_hand, 11), None).await.unwrap());
}

async fn history_is_bounded_and_newest_first(store: &dyn JobStore) {
    adopted(store).await;
    let mut due = settlement(&shop(), 0, 5, Some(queued(255, &shop(), 5)));
    due.skips.push(skip(&shop(), 1, 2));
    store.settle(&[due], at(5)).await.unwrap();
    for number in 0..50 {
        let run = running(number, &shop(), 7, i64::from(number) + 10, 1_000);
        assert!(matches!(store.begin(&run).await.unwrap(), Claimed::Yes(_)));
        assert!(store.end(run.id, id(7), at(i64::from(number) + 10), &reported(&run, 1), None).await.unwrap());
        let mut reasons = settlement(&shop(), 5 + i64::from(number), 6 + i64::from(number), None);
        reasons.skips.push(skip(&shop(), 100 + i64::from(number), 100 + i64::from(number)));
        assert_eq!(store.settle(&[reasons], at(5)).await.unwrap(), [Settled::Done]);
    }
    let runs: Vec<Id> = store.runs(Some(&shop()), 1_000).await.unwrap().iter().map(|run| run.id).collect();
    let expected: Vec<Id> = (30..50).rev().map(id).chain([id(255)]).collect();
    assert_eq!(runs, expected, "what waits is not history");
    assert_eq!(store.skips(None, 1_000).await.unwrap().len(), HISTORY);
    assert_eq!(store.skips(None, 1).await.unwrap()[0].last, at(149));
    assert_eq!(store.runs(None, 3).await.unwrap().len(), 3);
    assert!(store.runs(Some(&Task::backup("other")), 3).await.unwrap().is_empty());
}

async fn a_clock_set_back_begins_another_epoch(store: &dyn JobStore) {
    adopted(store).await;
    store.settle(&[settlement(&shop(), 0, 1_000, None)], at(1_000)).await.unwrap();
    assert!(store.rewind(&shop(), 0, at(10)).await.unwrap());
    assert!(!store.rewind(&shop(), 0, at(5)).await.unwrap());
    let state = store.task(&shop()).await.unwrap().unwrap();
    assert_eq!((state.epoch, state.handled), (1, at(10)));
}

#[tokio::test]
async fn of_two_processes_one_gets_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (sqlite_in(directory.path()).await, sqlite_in(directory.path()).await);
    let (first_owner, second_owner) = (owner(201), owner(202));
    adopted(&one).await;
    for number in 1..40 {
        let from = (i64::from(number) - 1) * 10;
        let due = |run| settlement(&shop(), from, from + 10, Some(queued(run, &shop(), from + 10)));
        let (first, second) = (due(number), due(number + 100));
        let (now, first, second) = (at(from + 10), [first], [second]);
        let (a, b) = tokio::join!(one.settle(&first, now), two.settle(&second, now));
        let settled = [a.unwrap().remove(0), b.unwrap().remove(0)];
        assert_eq!(settled.iter().filter(|settled| **settled == Settled::Done).count(), 1, "{settled:?}");
        let run = if settled[0] == Settled::Done { number } else { number + 100 };
        let (a, b) = tokio::join!(
            one.claim(id(run), &first_owner, now, at(from + 11)),
            two.claim(id(run), &second_owner, now, at(from + 11))
        );
        let claimed = [a.unwrap(), b.unwrap()];
        assert_eq!(claimed.iter().filter(|claimed| matches!(claimed, Claimed::Yes(_))).count(), 1, "{claimed:?}");
        let by = if matches!(claimed[0], Claimed::Yes(_)) { 201 } else { 202 };
        assert!(two.end(id(run), id(by), now, &Outcome::Interrupted, None).await.unwrap());
    }
}

#[tokio::test]
async fn a_file_of_a_newer_kronos_or_of_something_else_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    drop(SqliteStore::open(&path).await.unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 1_000).unwrap();
    drop(connection);
    assert_eq!(SqliteStore::open(&path).await.unwrap_err().kind(), ErrorKind::Unsupported);
    let other = directory.path().join("other.db");
    std::fs::write(&other, "this is no database, and long enough to be seen as none".repeat(100)).unwrap();
    assert_eq!(SqliteStore::open(&other).await.unwrap_err().kind(), ErrorKind::Corrupt);
}
