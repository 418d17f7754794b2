//! Weeks from a seed: storages go down and come up, sources too, the daemon is killed, stopped and started.
//! Whatever happens, nobody is caught up without need, twice at a time or beside a backup, and in the end
//! nothing is behind.
//!
//! `KRONOS_SIM_SEED` runs one seed, `KRONOS_SIM_SEEDS` so many.

use std::sync::Arc;
use std::time::Duration;

use kronos_service::store::MemoryStore;
use kronos_service::{Ended, Operation};

use super::house::{House, minutes, plain};
use super::player::{Played, Player};
use super::world::Dice;

const JOBS: [(&str, &str); 5] =
    [("a", "*/20 * * * *"), ("b", "10 * * * *"), ("c", "0 */6 * * *"), ("d", "30 1 * * *"), ("e", "30 1 * * *")];

async fn weeks(seed: u64) -> Vec<Played> {
    let jobs = JOBS.map(|(name, cron)| plain(name, cron));
    let mut house = House::new(Arc::new(MemoryStore::new()), jobs.into());
    let player = Player::new(house.world.clock.clone());
    house.world.parts.runner = player.clone();
    let dice = Dice::new(seed);
    let mut living = house.start();
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_secs(dice.below(2 * 3_600))).await;
        let job = JOBS[usize::try_from(dice.below(5)).unwrap()].0;
        match dice.below(8) {
            0 | 1 => player.take_down(job),
            2 | 3 => player.bring_up(job),
            4 => player.break_source(job, dice.below(2) == 0),
            5 => player.takes(Duration::from_secs(dice.below(600)), Duration::from_secs(dice.below(1_800))),
            which => {
                if which == 6 {
                    living.kill().await;
                } else {
                    living.stop().await;
                }
                tokio::time::sleep(Duration::from_secs(dice.below(3_600))).await;
                living = house.start();
            }
        }
    }
    for (job, _) in JOBS {
        player.bring_up(job);
        player.break_source(job, false);
    }
    player.takes(Duration::ZERO, Duration::ZERO);
    tokio::time::sleep(minutes(150)).await;
    living.stop().await;
    player.all()
}

/// What was known of a job when this catch-up began: whether it was behind.
fn was_behind(all: &[Played], catch_up: &Played) -> bool {
    let over = |it: &&Played| it.job == catch_up.job && it.to.is_some_and(|to| to <= catch_up.from);
    let mut behind = false;
    // They stand in the order in which they began.
    for run in all.iter().take_while(|it| *it != catch_up).filter(over) {
        match (run.operation, run.behind) {
            (Operation::Backup, Some(left)) => behind = left,
            (Operation::CatchUp, Some(false)) => behind = false,
            _ => {}
        }
    }
    behind
}

#[test]
fn whatever_happens_in_the_end_nothing_is_behind() {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} must be a number")))
    };
    let seeds = match (number("KRONOS_SIM_SEED"), number("KRONOS_SIM_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 1..1 + count.unwrap_or(4),
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let all = runtime.block_on(weeks(seed));
        let catch_ups: Vec<&Played> = all.iter().filter(|it| it.operation == Operation::CatchUp).collect();
        assert!(catch_ups.len() > 100, "seed {seed}: {} catch-ups only", catch_ups.len());
        for it in &catch_ups {
            assert!(was_behind(&all, it), "seed {seed}: without need: {it:?}");
            let going = catch_ups.iter().filter(|other| other.from <= it.from && other.to.unwrap() > it.from).count();
            assert!(going <= 2, "seed {seed}: {going} at a time: {it:?}");
            for other in all.iter().filter(|other| other.job == it.job && other.operation == Operation::Backup) {
                // The backup may begin in the meantime; then the catch-up comes to an end.
                assert!(it.beside(other) < Duration::from_secs(5), "seed {seed}: {it:?} beside {other:?}");
            }
        }
        for (job, _) in JOBS {
            let mine: Vec<&&Played> = catch_ups.iter().filter(|it| it.job == job).collect();
            for pair in mine.windows(2) {
                let pause = pair[1].from.saturating_sub(pair[0].to.unwrap());
                assert!(pause >= minutes(1), "seed {seed}: {pair:?}");
            }
            let end = Played {
                job: job.to_owned(),
                operation: Operation::CatchUp,
                from: Duration::MAX,
                to: None,
                ended: None::<Ended>,
                behind: None,
                ..all[0].clone()
            };
            assert!(!was_behind(&all, &end), "seed {seed}: {job} is behind in the end");
        }
        println!("seed {seed}: {} runs, {} catch-ups", all.len(), catch_ups.len());
    }
}
