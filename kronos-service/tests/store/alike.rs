//! The job store in memory and the one in a file beside each other, under steps at random.

use std::sync::Arc;
use std::time::Duration;

use kronos_service::store::{Adoption, JobStore, MemoryStore, Outcome, Settlement, SkipReason, Task};
use proptest::prelude::*;

use super::{HISTORY, at, id, owner, queued, retry, running, shop, skip, sqlite_in};

/// A step that a daemon, a command or a second daemon may do at any time.
#[derive(Debug, Clone)]
enum Step {
    Adopt(bool),
    Retire,
    Settle { far: i64, run: bool, known: bool, again: bool },
    Claim { run: usize, by: u8 },
    Begin { by: u8 },
    Renew { run: usize, by: u8 },
    End { run: usize, by: u8, next: bool },
    Interrupt { run: usize, next: bool },
    Drop { run: usize },
    Pause(bool),
    Rewind,
}

fn step() -> impl Strategy<Value = (bool, i64, Step)> {
    let (run, by) = (0..4_usize, 1..3_u8);
    let step = prop_oneof![
        1 => any::<bool>().prop_map(Step::Adopt),
        1 => Just(Step::Retire),
        6 => (0..3_i64, any::<bool>(), prop::bool::weighted(0.9), any::<bool>())
            .prop_map(|(far, run, known, again)| Step::Settle { far, run, known, again }),
        6 => (run.clone(), by.clone()).prop_map(|(run, by)| Step::Claim { run, by }),
        2 => by.clone().prop_map(|by| Step::Begin { by }),
        2 => (run.clone(), by.clone()).prop_map(|(run, by)| Step::Renew { run, by }),
        4 => (run.clone(), by, any::<bool>()).prop_map(|(run, by, next)| Step::End { run, by, next }),
        2 => (run.clone(), any::<bool>()).prop_map(|(run, next)| Step::Interrupt { run, next }),
        1 => run.prop_map(|run| Step::Drop { run }),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => Just(Step::Rewind),
    ];
    (any::<bool>(), 0..4_i64, step)
}

/// Does a step on a store; what it answered, as text.
async fn act(store: &dyn JobStore, task: &Task, now: i64, step: &Step, numbers: (u8, &[u8])) -> String {
    let (fresh, made) = numbers;
    // Counted from the newest.
    let run = |back: usize| id(made.iter().rev().nth(back).copied().unwrap_or(0));
    let state = store.task(task).await.unwrap();
    match step {
        Step::Adopt(daily) => {
            let rule = if *daily { "UTC @daily" } else { "UTC @hourly" }.to_owned();
            format!("{:?}", store.adopt(&[Adoption { task: task.clone(), rule }], at(now)).await.unwrap())
        }
        Step::Retire => format!("{:?}", store.retire(std::slice::from_ref(task), at(now)).await.unwrap()),
        Step::Settle { far, run, known, again } => {
            let Some(state) = state else { return "unknown".to_owned() };
            let until = state.handled.plus(Duration::from_mins(far.unsigned_abs()));
            let record = if *again { retry(fresh, task, now) } else { queued(fresh, task, now) };
            let settlement = Settlement {
                task: task.clone(),
                epoch: state.epoch,
                handled: if *known { state.handled } else { at(-5) },
                until,
                run: run.then_some(record),
                skips: vec![skip(task, now, now)],
            };
            format!("{:?}", store.settle(&[settlement], at(now)).await.unwrap())
        }
        Step::Claim { run: back, by } => {
            format!("{:?}", store.claim(run(*back), &owner(*by), at(now), at(now + 3)).await.unwrap())
        }
        Step::Begin { by } => format!("{:?}", store.begin(&running(fresh, task, *by, now, now + 3)).await.unwrap()),
        Step::Renew { run: back, by } => format!("{:?}", store.renew(run(*back), id(*by), at(now + 3)).await.unwrap()),
        Step::End { run: back, by, next } => {
            let next = next.then(|| retry(fresh, task, now));
            let ended = store.end(run(*back), id(*by), at(now), &Outcome::Interrupted, next.as_ref()).await;
            format!("{:?}", ended.unwrap())
        }
        Step::Interrupt { run: back, next } => {
            let next = next.then(|| retry(fresh, task, now));
            format!("{:?}", store.interrupt(run(*back), at(now), next.as_ref()).await.unwrap())
        }
        Step::Drop { run: back } => {
            format!("{:?}", store.drop_queued(run(*back), at(now), SkipReason::Superseded).await.unwrap())
        }
        Step::Pause(true) => format!("{:?}", store.pause(task, at(now)).await.map_err(|e| e.to_string())),
        Step::Pause(false) => format!("{:?}", store.resume(task, at(now)).await.map_err(|e| e.to_string())),
        Step::Rewind => {
            let epoch = state.map_or(0, |state| state.epoch);
            format!("{:?}", store.rewind(task, epoch, at(now - 5)).await.unwrap())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_do_the_same(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let stores: [Arc<dyn JobStore>; 2] =
                [Arc::new(MemoryStore::with_history(HISTORY)), Arc::new(sqlite_in(directory.path()).await)];
            let tasks = [shop(), Task::backup("other")];
            // As a run of the other task takes the place of one, its record would be of the wrong task.
            let (mut now, mut made) = (0, [vec![], vec![]]);
            for (fresh, (other, later, step)) in (10_u8..).zip(&steps) {
                now += later;
                let which = usize::from(*other);
                let numbers = (fresh, made[which].as_slice());
                let memory = act(&*stores[0], &tasks[which], now, step, numbers).await;
                let sqlite = act(&*stores[1], &tasks[which], now, step, numbers).await;
                assert_eq!(memory, sqlite, "{step:?}");
                assert_eq!(stores[0].tasks().await.unwrap(), stores[1].tasks().await.unwrap(), "{step:?}");
                assert_eq!(stores[0].runs(None, 99).await.unwrap(), stores[1].runs(None, 99).await.unwrap(), "{step:?}");
                assert_eq!(stores[0].queued().await.unwrap(), stores[1].queued().await.unwrap());
                assert_eq!(stores[0].expired(at(now)).await.unwrap(), stores[1].expired(at(now)).await.unwrap());
                made[which].push(fresh);
            }
            for task in &tasks {
                let skips = stores[0].skips(Some(task), 99).await.unwrap();
                assert_eq!(skips, stores[1].skips(Some(task), 99).await.unwrap());
            }
        });
    }
}
