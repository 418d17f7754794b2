//! Storages that are behind are caught up: when, by whom, and what people hear of it.

use std::sync::Arc;
use std::time::Duration;

use kronos_core::Clock as _;
use kronos_core::testing::MemorySource;
use kronos_service::daemon::{pause, resume};
use kronos_service::metrics::{MetricsFollower, Names};
use kronos_service::notify::NotifyFollower;
use kronos_service::store::{MemoryStore, Outcome, RunState, Task};
use kronos_service::{Ended, JobRunner, Operation, Trigger};

use super::cellar::Cellar;
use super::house::{House, job, minutes, plain};
use super::player::{Player, Shop};

/// A house whose runs are pretended.
fn house(jobs: Vec<kronos_service::daemon::ScheduledJob>) -> (House, Arc<Player>) {
    let mut house = House::new(Arc::new(MemoryStore::new()), jobs);
    let player = Player::new(house.world.clock.clone());
    house.world.parts.runner = player.clone();
    (house, player)
}

async fn pass(count: u64) {
    tokio::time::sleep(minutes(count)).await;
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_is_down_for_an_hour_is_caught_up_and_told_of_twice() {
    let mut house = House::new(Arc::new(MemoryStore::new()), vec![plain("shop", "0 2 * * *")]);
    let (cellar, source) = (Cellar::of(&["main", "off"]), MemorySource::new("shop"));
    source.set("a", vec![1; 5000]);
    let care = house.care();
    let followers = vec![
        Arc::new(NotifyFollower { notifier: care.notifier.clone().unwrap(), to: vec!["ops".to_owned()] }) as _,
        Arc::new(MetricsFollower::new(care.metrics.clone(), Names::default(), None)) as _,
    ];
    let clock = house.world.clock.clone();
    let shop = Shop { cellar: cellar.clone(), source: source.clone(), clock, followers };
    house.world.parts.runner = Arc::new(JobRunner::new(Arc::new(shop)));
    let living = house.start_with(care);
    pass(24 * 60).await;
    assert_eq!(cellar.backups("off").await.len(), 1, "all is well on the first day");
    assert!(house.heard().is_empty() && house.catch_ups("shop").await.is_empty());

    pass(110).await;
    cellar.take_down("off");
    source.set("a", vec![2; 5000]);
    source.take_opened();
    pass(20).await;
    assert_eq!(house.heard(), ["storage off is down"]);
    pass(50).await;
    cellar.bring_up("off");
    let read = source.take_opened().len();
    assert!(read > 0);
    pass(30).await;
    let day = 24 * 60;
    let at: Vec<u64> = house.catch_ups("shop").await.iter().map(|at| at - day).collect();
    assert_eq!(at, [121, 123, 127, 135, 151, 183], "pauses that double, until it has helped");
    assert_eq!(house.heard(), ["storage off is back"]);
    assert!(source.take_opened().is_empty(), "the source was read again");
    let made = |backups: Vec<kronos_core::BackupInfo>| backups.iter().map(|b| b.started).collect::<Vec<_>>();
    let main = made(cellar.backups("main").await);
    assert_eq!((main.len(), main), (2, made(cellar.backups("off").await)));
    let again = living.figure(r#"kronos_catch_up_runs_total{kronos_job="shop",ended="succeeded"}"#);
    assert_eq!(again, Some(1.0));

    // The next day all is well, and nothing more is done.
    pass(24 * 60).await;
    assert_eq!((house.catch_ups("shop").await.len(), house.heard().len()), (6, 0));
    living.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_an_hour_and_a_new_backup_begins_anew() {
    let (house, player) = house(vec![plain("shop", "0 1 * * *")]);
    player.take_down("shop");
    let _living = house.start();
    pass(6 * 60).await;
    let expected = [61, 63, 67, 75, 91, 123, 183, 243, 303];
    let made = player.catch_ups("shop");
    assert_eq!(made.iter().map(|(at, _)| *at).collect::<Vec<_>>(), expected);
    assert_eq!(made.iter().map(|(_, attempt)| *attempt).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    assert!(player.played(Operation::CatchUp).iter().all(|played| played.trigger == Trigger::Retry));
    pass(24 * 60 - 6 * 60 + 62).await;
    let (at, attempt) = *player.catch_ups("shop").last().unwrap();
    assert_eq!((at - 24 * 60, attempt), (61, 1));
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_failed_before_it_came_to_its_storages_changes_nothing() {
    let (house, player) = house(vec![plain("shop", "0 1,2 * * *")]);
    player.take_down("shop");
    let _living = house.start();
    pass(119).await;
    player.break_source("shop", true);
    pass(30).await;
    assert_eq!(player.played(Operation::Backup).len(), 2);
    assert_eq!(player.catch_ups("shop").last(), Some(&(123, 6)), "by the backup of 01:00");
    player.bring_up("shop");
    pass(40).await;
    assert_eq!(player.catch_ups("shop").last(), Some(&(183, 7)));
    pass(300).await;
    assert_eq!(player.catch_ups("shop").len(), 7, "it has helped");
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_the_last_one_was() {
    let (house, player) = house(vec![plain("shop", "0 1 * * *")]);
    player.take_down("shop");
    let living = house.start();
    pass(70).await;
    living.kill().await;
    let living = house.start();
    pass(4).await;
    assert_eq!(player.catch_ups("shop"), [(61, 1), (63, 2), (67, 3)], "nothing is done again");
    pass(6).await;
    assert_eq!(player.catch_ups("shop").last(), Some(&(75, 4)));
    living.stop().await;

    // What had its turn while nobody was there has it at once.
    pass(60).await;
    let living = house.start();
    pass(1).await;
    assert_eq!(player.catch_ups("shop").last(), Some(&(140, 5)));

    // One that is killed in the middle has tried, and the next one comes after its pause.
    player.takes(Duration::ZERO, minutes(20));
    pass(34).await;
    assert_eq!(player.catch_ups("shop").last(), Some(&(172, 6)));
    living.kill().await;
    player.takes(Duration::ZERO, Duration::ZERO);
    let living = house.start();
    pass(10).await;
    assert_eq!(house.world.notes.count("interrupted shop"), 1);
    player.bring_up("shop");
    pass(70).await;
    let (at, attempt) = *player.catch_ups("shop").last().unwrap();
    assert!((236..240).contains(&at) && attempt == 7, "{at} {attempt}");
    pass(200).await;
    assert_eq!(player.catch_ups("shop").len(), 7);
    living.stop().await;
}

#[tokio::test(start_paused = true)]
async fn there_are_two_at_a_time_and_all_have_their_turn() {
    let jobs: Vec<_> = (0..5).map(|number| plain(&format!("job {number}"), "0 1 * * *")).collect();
    let (house, player) = house(jobs.clone());
    for job in &jobs {
        player.take_down(&job.task.job);
    }
    let _living = house.start();
    pass(60).await;
    player.takes(Duration::ZERO, minutes(10));
    pass(45).await;
    let made = player.played(Operation::CatchUp);
    let over = |at: Duration| made.iter().filter(|it| it.from <= at && it.to.is_none_or(|to| to > at)).count();
    let most = made.iter().map(|it| over(it.from)).max();
    assert_eq!(most, Some(2), "{made:?}");
    let first: Vec<&str> = made[..5].iter().map(|it| it.job.as_str()).collect();
    assert_eq!(first, ["job 0", "job 1", "job 2", "job 3", "job 4"], "who waits the longest comes first");
}

#[tokio::test(start_paused = true)]
async fn none_goes_on_beside_a_backup_of_the_same_job() {
    let (house, player) = house(vec![plain("shop", "0 1,2 * * *"), plain("mail", "0 1 * * *")]);
    for job in ["shop", "mail"] {
        player.take_down(job);
    }
    player.takes(minutes(5), minutes(300));
    let _living = house.start();
    // The backup ends at 01:05, the catch-up begins at 01:06 and would take five hours.
    pass(121).await;
    let of = |job: &str, operation| {
        let all = player.played(operation).into_iter().filter(|it| it.job == job);
        all.collect::<Vec<_>>()
    };
    let catch_up = &of("shop", Operation::CatchUp)[0];
    assert_eq!((catch_up.from.as_secs() / 60, catch_up.ended), (66, Some(Ended::Cancelled)), "the backup of 02:00");
    assert!(catch_up.to.unwrap() < Duration::from_secs(120 * 60 + 5));
    assert_eq!(of("mail", Operation::CatchUp)[0].ended, None, "that of another job goes on");
    pass(3).await;
    assert_eq!(of("shop", Operation::CatchUp).len(), 1, "not before the backup ends at 02:05");
    pass(3).await;
    assert_eq!(player.catch_ups("shop").last(), Some(&(126, 1)), "and the count begins anew");
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_catch_up_and_waits_for_it() {
    let (house, player) = house(vec![plain("shop", "0 1 * * *")]);
    player.take_down("shop");
    player.takes(Duration::ZERO, minutes(30));
    let living = house.start();
    pass(65).await;
    assert_eq!(player.catch_ups("shop"), [(61, 1)]);
    let began = tokio::time::Instant::now();
    living.stop().await;
    assert_eq!(began.elapsed(), Duration::from_secs(3), "the checkpoint");
    let state = house.world.parts.store.task(&Task::new("shop", Operation::CatchUp)).await.unwrap().unwrap();
    let last = state.last.unwrap();
    assert_eq!(last.report().unwrap().ended, Ended::Cancelled);
    assert!(state.running.is_none());
    pass(300).await;
    assert_eq!(player.catch_ups("shop").len(), 1);

    // It was stopped, and has not failed: the next start goes on at once.
    player.takes(Duration::ZERO, Duration::ZERO);
    player.bring_up("shop");
    let _living = house.start();
    pass(1).await;
    assert_eq!(player.catch_ups("shop").last(), Some(&(365, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_paused_is_left_alone() {
    let (house, player) = house(vec![plain("shop", "0 1 * * *")]);
    player.take_down("shop");
    let _living = house.start();
    pass(68).await;
    let store = &*house.world.parts.store;
    pause(store, &house.jobs[0], house.world.clock.now()).await.unwrap();
    pass(60).await;
    assert_eq!(player.catch_ups("shop"), [(61, 1), (63, 2), (67, 3)]);
    resume(store, &house.jobs[0], house.world.clock.now()).await.unwrap();
    pass(2).await;
    assert_eq!(player.catch_ups("shop").len(), 4);
}

#[tokio::test(start_paused = true)]
async fn none_begins_while_the_daemon_waits_for_its_last_runs() {
    let (house, player) = house(vec![plain("long", "59 0 * * *"), plain("shop", "0 1 * * *")]);
    player.take_down("shop");
    player.takes(minutes(60), Duration::ZERO);
    let living = house.start();
    tokio::time::sleep(Duration::from_secs(59 * 60 + 30)).await;
    player.takes(Duration::ZERO, Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(75)).await;
    // A quarter of a minute before the first catch-up, and `long` goes on for half a minute.
    let began = tokio::time::Instant::now();
    living.stop().await;
    assert_eq!(began.elapsed(), Duration::from_secs(33));
    assert_eq!((player.played(Operation::Backup).len(), player.catch_ups("shop").len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_too_long_is_stopped_by_the_timeout_of_the_job() {
    let (house, player) = house(vec![job("shop", "0 1 * * *", |settings| settings.timeout = Some(minutes(10)))]);
    player.take_down("shop");
    player.takes(Duration::ZERO, minutes(300));
    let _living = house.start();
    pass(90).await;
    assert_eq!(player.catch_ups("shop"), [(61, 1), (73, 2), (87, 3)]);
    let task = Task::new("shop", Operation::CatchUp);
    let run = house.world.parts.store.runs(Some(&task), 9).await.unwrap().pop().unwrap();
    let RunState::Ended { outcome: Outcome::Reported(report), .. } = run.state else { panic!("{run:?}") };
    assert_eq!((report.ended, report.error.unwrap().kind.as_str()), (Ended::Failed, "timeout"));
}

#[tokio::test(start_paused = true)]
async fn a_new_configuration_says_whose_storages_are_looked_after() {
    let (house, player) = house(vec![plain("shop", "0 1 * * *")]);
    player.take_down("shop");
    let living = house.start();
    pass(68).await;
    let without = kronos_service::daemon::Care { backups: Vec::new(), ..living.care.clone() };
    living.care_handle.replace(without);
    pass(100).await;
    assert_eq!(player.catch_ups("shop").len(), 3);
    living.care_handle.replace(living.care.clone());
    pass(1).await;
    assert_eq!(player.catch_ups("shop").last(), Some(&(168, 4)));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_makes_nobody_busy_and_the_next_backup_puts_it_right() {
    let (house, player) = house(vec![plain("shop", "0 */6 * * *")]);
    player.take_down("shop");
    let _living = house.start();
    pass(6 * 60 + 10).await;
    let before = player.catch_ups("shop").len();
    house.world.clock.set(-5 * 3_600);
    pass(4 * 60).await;
    let since = player.catch_ups("shop").len() - before;
    assert!((2..=8).contains(&since), "{since} in four hours");
    player.bring_up("shop");
    // The clock shows six again eleven hours and ten minutes after midnight, and a backup at twelve.
    pass(8 * 60).await;
    let done = player.catch_ups("shop").len();
    pass(10 * 60).await;
    assert_eq!(player.catch_ups("shop").len(), done);
}
