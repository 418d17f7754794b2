//! What the job store in a file has answered, it still knows after its process was killed.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use kronos_core::{Id, Timestamp};
use kronos_service::Trigger;
use kronos_service::store::{
    Adoption, Claimed, JobStore, Outcome, Owner, RunRecord, RunState, Settled, Settlement, SqliteStore, Task,
};

const FILE: &str = "KRONOS_TEST_STORE_FILE";

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(0).plus(Duration::from_secs(seconds))
}

fn run(number: u64) -> RunRecord {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_le_bytes());
    let state = RunState::Queued { since: at(number), not_before: at(number) };
    let (trigger, due) = (Trigger::Schedule, Some(at(number)));
    RunRecord { id: Id(id), task: Task::backup("shop"), epoch: 0, trigger, due, attempt: 1, state }
}

/// It writes a line after each answer.
#[tokio::test]
#[ignore = "no test by itself: the process that the other one kills"]
async fn work_until_killed() {
    let file = std::env::var(FILE).expect("the test that kills says where the file is");
    let store = SqliteStore::open(file).await.unwrap();
    let owner = Owner { id: Id([1; 16]), name: "to be killed".to_owned() };
    let task = Task::backup("shop");
    store.adopt(&[Adoption { task: task.clone(), rule: "UTC @daily".to_owned() }], at(0)).await.unwrap();
    let mut handled = store.task(&task).await.unwrap().unwrap().handled;
    loop {
        let number = handled.since(at(0)).as_secs() + 1;
        let due = run(number);
        let settlement = Settlement {
            task: task.clone(),
            epoch: 0,
            handled,
            until: at(number),
            run: Some(due.clone()),
            skips: vec![],
        };
        assert_eq!(store.settle(&[settlement], at(number)).await.unwrap(), [Settled::Done]);
        println!("settled {number}");
        assert!(matches!(store.claim(due.id, &owner, at(number), at(number)).await.unwrap(), Claimed::Yes(_)));
        println!("claimed {number}");
        assert!(store.end(due.id, owner.id, at(number), &Outcome::Interrupted, None).await.unwrap());
        println!("ended {number}");
        handled = at(number);
    }
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jobs.db");
    let mut ended = 0;
    for round in 0..6_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["work_until_killed", "--exact", "--nocapture", "--ignored"])
            .env(FILE, &file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut told = String::new();
        let words = ["settled", "claimed", "ended"];
        for line in lines.filter(|line| words.iter().any(|word| line.contains(word))).take(5 + 7 * round) {
            told = line;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let (what, number) = told.rsplit_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();

        let store = SqliteStore::open(&file).await.unwrap();
        let state = store.task(&Task::backup("shop")).await.unwrap().unwrap();
        assert!(state.handled >= at(number), "{told}, but it is handled until {}", state.handled);
        let known = store.runs(None, 10_000).await.unwrap();
        let known = known.iter().find(|known| known.id == run(number).id).expect("the run is known");
        match &known.state {
            RunState::Queued { .. } => assert!(what.contains("settled"), "{told}"),
            RunState::Running { .. } => assert!(!what.contains("ended"), "{told}"),
            RunState::Ended { .. } => {}
        }
        // What it left behind is taken away, so that the next one can go on.
        if let Some(left) = state.queued {
            assert!(
                store.drop_queued(left.id, state.handled, kronos_service::store::SkipReason::Removed).await.unwrap()
            );
        }
        for left in store.expired(state.handled.plus(Duration::from_secs(1))).await.unwrap() {
            assert!(store.interrupt(left.id, state.handled.plus(Duration::from_secs(1)), None).await.unwrap());
        }
        assert!(number > ended, "it went on");
        ended = number;
    }
}
