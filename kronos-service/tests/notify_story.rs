//! What people hear, in a clock that is set by hand: no storms, quiet hours, couriers that fail, programs
//! that end and begin again.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "notify/common.rs"]
mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::{HandClock, Notes, notifier, run, storage};
use kronos_core::{Clock as _, Error, ErrorKind, Retry, Secret, Timestamp};
use kronos_service::notify::{
    CaptureGap, Channel, FileNotifyStore, MemoryNotifyStore, Missed, News, Notifier, NotifyStore, Occasion, Ping,
    QuietHours, Receipt, Severity, Slack, Way,
};
use kronos_service::{Ended, Operation, StorageEnded};

const MINUTE: Duration = Duration::from_mins(1);

fn slack() -> Way {
    Way::Slack(Slack { webhook: Secret::new("https://hooks.example/T0/B0/hush") })
}

fn ops() -> Vec<String> {
    vec!["ops".to_owned()]
}

/// A notifier with one channel, in memory.
fn one(channel: Channel, clock: &Arc<HandClock>) -> (Notifier, Arc<Notes>) {
    let notes = Notes::new();
    (notifier(vec![channel], Arc::new(MemoryNotifyStore::default()), clock, &notes), notes)
}

async fn ends(notifier: &Notifier, clock: &HandClock, job: &str, ended: Ended) {
    notifier.tell(News::Ended(run(job, Operation::Backup, ended, clock.now())), &ops()).await.unwrap();
    notifier.deliver().await;
}

/// Lets time pass as a daemon does: it delivers whenever something is due.
async fn pass(notifier: &Notifier, clock: &HandClock, time: Duration) {
    let until = clock.now().plus(time);
    for _ in 0..10_000 {
        match notifier.deliver().await.next {
            Some(next) if next <= until => clock.set(next.max(clock.now())),
            _ => return clock.set(until),
        }
    }
    panic!("there is no end to what is due");
}

#[tokio::test]
async fn a_storage_that_is_down_for_an_hour() {
    let clock = HandClock::at("2026-11-28T01:50:00Z");
    let (notifier, notes) = one(Channel::new("ops", vec![slack()]), &clock);
    let (from, to) = ("2026-11-28T02:00:00Z", "2026-11-28T03:00:00Z");
    let (from, to) = (Timestamp::parse(from).unwrap(), Timestamp::parse(to).unwrap());
    let mut heard = Vec::new();
    // Three jobs, one after the other, every ten minutes.
    for round in 0..9_u32 {
        for job in ["billing", "shop", "users"] {
            let now = clock.now();
            let is_down = now >= from && now < to;
            let mut report = run(job, Operation::Backup, if is_down { Ended::Warnings } else { Ended::Succeeded }, now);
            report.storages.push(storage("main", StorageEnded::Stored, 0));
            report.storages.push(if is_down {
                storage("offsite", StorageEnded::Failed, 0)
            } else {
                storage("offsite", StorageEnded::Stored, if round == 7 { 6 } else { 0 })
            });
            // It is up again, and does not yet have what one job has made meanwhile.
            report.storages[1].behind = job == "users" && round == 7;
            notifier.tell(News::Ended(report), &ops()).await.unwrap();
            pass(&notifier, &clock, Duration::from_secs(20)).await;
            heard.extend(notes.letters().into_iter().map(|letter| (letter.at.to_string(), common::titles(&letter))));
        }
        pass(&notifier, &clock, Duration::from_mins(9)).await;
    }
    for (at, titles) in &heard {
        println!("{at} {titles:?}");
    }
    // Once at the beginning, once to remind, once when all three have it again.
    let expected = [
        ("2026-11-28T02:00:00Z", "storage offsite is down"),
        ("2026-11-28T02:50:00Z", "storage offsite is down"),
        ("2026-11-28T03:10:40Z", "storage offsite is back"),
    ];
    let expected: Vec<_> = expected.map(|(at, title)| (at.to_owned(), vec![title.to_owned()])).into();
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn a_job_that_fails_is_told_at_once_then_every_nth_time_and_its_recovery_once() {
    let clock = HandClock::at("2026-11-28T00:00:00Z");
    let (notifier, notes) = one(Channel { every_nth: 3, ..Channel::new("ops", vec![slack()]) }, &clock);
    let mut heard = Vec::new();
    let endings = [Ended::Succeeded; 1].into_iter().chain([Ended::Failed; 8]).chain([Ended::Nothing, Ended::Succeeded]);
    for (n, ended) in endings.enumerate() {
        ends(&notifier, &clock, "shop", ended).await;
        heard.extend(notes.titles().into_iter().flatten().map(|title| (n, title)));
        pass(&notifier, &clock, Duration::from_hours(1)).await;
    }
    let expected = [
        (1, "shop: backup failed"),
        (4, "shop: backup failed 4 times in a row"),
        (7, "shop: backup failed 7 times in a row"),
        (9, "shop: backup works again"),
    ];
    assert_eq!(heard, expected.map(|(n, title)| (n, title.to_owned())));

    // A run that somebody stopped is neither good nor bad.
    ends(&notifier, &clock, "shop", Ended::Failed).await;
    ends(&notifier, &clock, "shop", Ended::Cancelled).await;
    assert_eq!(notes.titles(), [["shop: backup failed"]]);
    pass(&notifier, &clock, Duration::from_hours(1)).await;
    ends(&notifier, &clock, "shop", Ended::Succeeded).await;
    assert_eq!(notes.titles(), [["shop: backup works again"]]);
}

#[tokio::test]
async fn many_jobs_that_fail_together_are_two_messages() {
    let clock = HandClock::at("2026-11-28T03:00:00Z");
    let (notifier, notes) = one(Channel::new("ops", vec![slack()]), &clock);
    for n in 0..50 {
        ends(&notifier, &clock, &format!("job {n}"), Ended::Failed).await;
        clock.pass(Duration::from_secs(1));
    }
    assert_eq!(notes.titles(), [["job 0: backup failed"]]);
    pass(&notifier, &clock, MINUTE).await;
    let titles = notes.titles();
    assert_eq!((titles.len(), titles[0].len()), (1, 49));
    assert!(notifier.deliver().await.next.is_none());

    // A program that ends does not wait for others to come along.
    clock.pass(MINUTE);
    for job in ["a", "b", "c"] {
        ends(&notifier, &clock, job, Ended::Failed).await;
    }
    assert_eq!(notes.titles().len(), 1);
    assert_eq!(notifier.finish().await.delivered, 1);
    assert_eq!(notes.titles(), [["b: backup failed", "c: backup failed"]]);
}

#[tokio::test]
async fn quiet_hours_hold_back_all_but_what_is_critical() {
    let clock = HandClock::at("2026-11-28T23:00:00Z");
    let quiet = QuietHours {
        from: "22:00".into(),
        to: "07:00".into(),
        timezone: "Europe/Berlin".into(),
        except: Some(Severity::Critical),
    };
    let channel = Channel { quiet: Some(quiet), ..Channel::new("ops", vec![slack()]) };
    let (notifier, notes) = one(channel, &clock);
    ends(&notifier, &clock, "shop", Ended::Failed).await;
    pass(&notifier, &clock, Duration::from_hours(1)).await;
    ends(&notifier, &clock, "shop", Ended::Succeeded).await;
    assert_eq!(notifier.finish().await.delivered, 0);
    assert_eq!(notifier.deliver().await.next, Some(Timestamp::parse("2026-11-29T06:00:00Z").unwrap()));

    let (from, to) = (clock.now().minus(Duration::from_hours(2)), clock.now());
    let gap = CaptureGap { job: "billing".into(), from, to, why: "the slot was dropped".into() };
    notifier.tell(News::CaptureGap(gap), &ops()).await.unwrap();
    notifier.deliver().await;
    assert_eq!(notes.titles(), [["billing: changes of 2 h were not captured"]]);

    pass(&notifier, &clock, Duration::from_hours(12)).await;
    let letters = notes.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].at.to_string(), "2026-11-29T06:00:00Z");
    assert_eq!(common::titles(&letters[0]), ["shop: backup failed", "shop: backup works again"]);
}

#[tokio::test]
async fn a_channel_hears_of_what_it_wants_to() {
    let clock = HandClock::at("2026-11-28T03:00:00Z");
    let on = |occasions: &[Occasion]| occasions.iter().copied().collect::<BTreeSet<_>>();
    let named = |name: &str, occasions: &[Occasion]| Channel {
        on: on(occasions),
        group_within: Duration::ZERO,
        ..Channel::new(name, vec![slack()])
    };
    let notes = Notes::new();
    let channels = vec![
        named("all", &Occasion::ALL),
        named("good", &[Occasion::Success, Occasion::Verified, Occasion::Recovered]),
        named("missed", &[Occasion::Missed]),
        named("other", &Occasion::ALL),
    ];
    let notifier = notifier(channels, Arc::new(MemoryNotifyStore::default()), &clock, &notes);
    let to = ["all", "good", "missed"].map(str::to_owned);
    let missed = Missed {
        job: "shop".into(),
        due: clock.now(),
        runs: 3,
        at: clock.now(),
        why: "the daemon was not running".into(),
        is_made_up: true,
    };
    let verify = run("shop", Operation::Verify, Ended::Succeeded, clock.now());
    let mut warned = run("shop", Operation::Backup, Ended::Warnings, clock.now());
    warned.warnings = vec!["table audit has no key".to_owned()];
    let news = [
        News::Missed(missed),
        News::Ended(verify),
        News::Ended(warned.clone()),
        // The same warning is no news.
        News::Ended(warned),
        News::Ended(run("shop", Operation::Restore, Ended::Failed, clock.now())),
        News::Ended(run("shop", Operation::Restore, Ended::Succeeded, clock.now())),
    ];
    for news in news {
        clock.pass(MINUTE);
        notifier.tell(news, &to).await.unwrap();
        notifier.deliver().await;
    }
    let carried = std::mem::take(&mut *notes.carried.lock().unwrap());
    let heard = |name: &str| -> Vec<_> {
        let mine = carried.iter().filter(|(channel, _)| channel == &format!("{name}/slack"));
        mine.flat_map(|(_, letter)| common::titles(letter)).collect()
    };
    assert_eq!(
        heard("all"),
        [
            "shop: 3 runs were missed",
            "shop: the backup was verified",
            "shop: table audit has no key",
            "shop: backup done",
            "shop: backup done",
            "shop: restore failed",
            "shop: restore works again",
            "shop: restore done",
        ]
    );
    assert_eq!(
        heard("good"),
        [
            "shop: the backup was verified",
            "shop: backup done",
            "shop: backup done",
            "shop: restore works again",
            "shop: restore done"
        ]
    );
    assert_eq!(heard("missed"), ["shop: 3 runs were missed"]);
    assert_eq!(heard("other"), Vec::<String>::new());

    let error = notifier.tell(News::Ended(run("x", Operation::Backup, Ended::Failed, clock.now())), &ops()).await;
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.context("channel")), (ErrorKind::Config, Some("ops")));
}

#[tokio::test]
async fn what_cannot_be_delivered_is_tried_again_and_comes_once() {
    let clock = HandClock::at("2026-11-28T03:00:00Z");
    let (notifier, notes) = one(Channel::new("ops", vec![slack()]), &clock);
    let down = Error::new(ErrorKind::ConnectionFailed, "down").with_retry(Retry::Later).to_string();
    let attempts = Arc::new(std::sync::Mutex::new(Vec::new()));
    let list = Arc::clone(&attempts);
    notes.answer(move |_, _, letter| {
        list.lock().unwrap().push((letter.at, letter.id));
        Err(Error::new(ErrorKind::ConnectionFailed, down.clone()).with_retry(Retry::Later))
    });
    notifier.tell(News::Ended(run("a", Operation::Backup, Ended::Failed, clock.now())), &ops()).await.unwrap();
    let delivery = notifier.deliver().await;
    assert_eq!((delivery.delivered, delivery.undelivered.len()), (0, 1));
    assert_eq!(delivery.undelivered[0].again, delivery.next);
    pass(&notifier, &clock, Duration::from_hours(6)).await;
    let tried = attempts.lock().unwrap().clone();
    let pauses: Vec<_> = tried.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect();
    assert!(pauses.len() > 10 && pauses.len() < 30, "{pauses:?}");
    assert!(pauses[0] >= Duration::from_secs(15) && pauses[0] <= Duration::from_secs(30), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_hours(1)), "{pauses:?}");
    assert!(tried.iter().all(|(_, id)| *id == tried[0].1), "the same letter has the same identity");

    // Two more come along; all three arrive as one letter, once.
    ends(&notifier, &clock, "b", Ended::Failed).await;
    ends(&notifier, &clock, "c", Ended::Failed).await;
    pass(&notifier, &clock, Duration::from_mins(2)).await;
    notes.answer(|_, _, _| Ok(Receipt::default()));
    pass(&notifier, &clock, Duration::from_hours(3)).await;
    assert_eq!(notes.titles(), [["a: backup failed", "b: backup failed", "c: backup failed"]]);
    assert_eq!(notifier.deliver().await.next, None);
}

#[tokio::test]
async fn a_receiver_gets_the_pause_it_asks_for() {
    let clock = HandClock::at("2026-11-28T03:00:00Z");
    let (notifier, notes) = one(Channel::new("ops", vec![slack()]), &clock);
    notes.answer(|_, _, _| {
        let busy = Error::new(ErrorKind::ConnectionFailed, "busy").with_retry(Retry::Later);
        Err(busy.with_retry_after(Duration::from_mins(20)))
    });
    ends(&notifier, &clock, "a", Ended::Failed).await;
    assert_eq!(notifier.deliver().await.next, Some(clock.now().plus(Duration::from_mins(20))));
}

#[tokio::test]
async fn what_is_given_up_is_counted_and_told() {
    let clock = HandClock::at("2026-11-01T03:00:00Z");
    let (notifier, notes) = one(Channel { every_nth: 1, ..Channel::new("ops", vec![slack()]) }, &clock);
    notes.answer(|_, _, _| Err(Error::new(ErrorKind::NotFound, "no such hook")));
    notifier.tell(News::Ended(run("a", Operation::Backup, Ended::Failed, clock.now())), &ops()).await.unwrap();
    let delivery = notifier.deliver().await;
    assert_eq!((delivery.undelivered[0].again, delivery.next), (None, None));

    // Days without a receiver, with more than can wait.
    notes.answer(|_, _, _| Err(Error::new(ErrorKind::Timeout, "silence").with_retry(Retry::Later)));
    for n in 0..300 {
        ends(&notifier, &clock, &format!("b{n}"), Ended::Failed).await;
        pass(&notifier, &clock, Duration::from_mins(2)).await;
    }
    notes.answer(|_, _, _| Ok(Receipt::default()));
    pass(&notifier, &clock, Duration::from_hours(2)).await;
    let letters = notes.letters();
    assert_eq!((letters.len(), common::titles(&letters[0]).len(), letters[0].lost), (1, 200, 101));

    notes.answer(|_, _, _| Err(Error::new(ErrorKind::Timeout, "silence").with_retry(Retry::Later)));
    ends(&notifier, &clock, "c", Ended::Failed).await;
    pass(&notifier, &clock, Duration::from_hours(24 * 4)).await;
    assert_eq!(notifier.deliver().await.next, None, "nobody wants to hear of what is four days old");
    notes.answer(|_, _, _| Ok(Receipt::default()));
    ends(&notifier, &clock, "d", Ended::Failed).await;
    let letters = notes.letters();
    assert_eq!((letters.len(), letters[0].lost), (1, 1));
    ends(&notifier, &clock, "e", Ended::Failed).await;
    pass(&notifier, &clock, MINUTE).await;
    assert_eq!(notes.letters()[0].lost, 0, "it was told");
}

#[tokio::test]
async fn what_waits_and_what_was_told_survive_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let clock = HandClock::at("2026-11-28T03:00:00Z");
    let notes = Notes::new();
    // Each call is a program of its own.
    let program = || {
        let store: Arc<dyn NotifyStore> = Arc::new(FileNotifyStore::new(place.path()));
        notifier(vec![Channel::new("ops", vec![slack()])], store, &clock, &notes)
    };
    notes.answer(|_, _, _| Err(Error::new(ErrorKind::Timeout, "silence").with_retry(Retry::Later)));
    ends(&program(), &clock, "shop", Ended::Failed).await;
    notes.answer(|_, _, _| Ok(Receipt::default()));
    clock.pass(MINUTE);
    assert_eq!(program().finish().await.delivered, 1);
    clock.pass(MINUTE);
    ends(&program(), &clock, "shop", Ended::Failed).await;
    assert_eq!(notes.titles(), [["shop: backup failed"]]);
    clock.pass(MINUTE);
    ends(&program(), &clock, "shop", Ended::Succeeded).await;
    assert_eq!(notes.titles(), [["shop: backup works again"]]);

    // Two at once: what one of them sends the other does not.
    let (one, two) = (program(), program());
    clock.pass(MINUTE);
    one.tell(News::Ended(run("shop", Operation::Backup, Ended::Failed, clock.now())), &ops()).await.unwrap();
    let (first, second) = tokio::join!(one.deliver(), two.deliver());
    assert_eq!(first.delivered + second.delivered, 1);
    assert_eq!(notes.titles().len(), 1);

    // A file that is damaged is put aside, and told of.
    std::fs::write(place.path().join("notifications.json"), "{\"channels\": 7").unwrap();
    clock.pass(MINUTE);
    let told = program().tell(News::Ended(run("x", Operation::Backup, Ended::Failed, clock.now())), &ops()).await;
    assert_eq!(told.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(program().deliver().await.delivered, 1);
    assert!(place.path().join("notifications.damaged.json").exists());
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_does_not_silence_anybody() {
    let clock = HandClock::at("2026-11-28T03:00:00Z");
    let notes = Notes::new();
    let store = Arc::new(FileNotifyStore::new(std::path::Path::new("/no/such/directory")));
    let notifier = notifier(vec![Channel::new("ops", vec![slack()])], store, &clock, &notes);
    let report = || run("shop", Operation::Backup, Ended::Failed, clock.now());
    assert!(notifier.tell(News::Ended(report()), &ops()).await.is_err());
    let delivery = notifier.deliver().await;
    assert_eq!(delivery.delivered, 1);
    assert!(delivery.unkept.is_some());
    // What was told is still known.
    assert!(notifier.tell(News::Ended(report()), &ops()).await.is_err());
    notifier.finish().await;
    assert_eq!(notes.titles(), [["shop: backup failed"]]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_holds_nothing_up() {
    let clock = HandClock::at("2026-11-28T03:00:00Z");
    let (notifier, notes) = one(Channel::new("ops", vec![slack()]), &clock);
    ends(&notifier, &clock, "a", Ended::Failed).await;
    notes.answer(|_, _, _| Err(Error::new(ErrorKind::Timeout, "silence").with_retry(Retry::Later)));
    clock.pass(MINUTE);
    ends(&notifier, &clock, "b", Ended::Failed).await;
    clock.set(Timestamp::parse("2026-11-20T03:00:00Z").unwrap());
    notes.answer(|_, _, _| Ok(Receipt::default()));
    ends(&notifier, &clock, "c", Ended::Failed).await;
    assert_eq!(notes.titles(), [vec!["a: backup failed"], vec!["b: backup failed", "c: backup failed"]]);
}

#[tokio::test]
async fn a_dead_mans_switch_hears_of_every_backup_and_of_nothing_else() {
    let clock = HandClock::at("2026-11-28T03:00:00Z");
    let ping = Way::Ping(Ping { url: Secret::new("https://hc.example/hush") });
    let channel = Channel { on: BTreeSet::new(), ..Channel::new("ops", vec![ping]) };
    let (notifier, notes) = one(channel, &clock);
    let good = run("shop", Operation::Backup, Ended::Warnings, clock.now());
    notifier.begin(&good, &ops()).await.unwrap();
    notifier.deliver().await;
    notifier.tell(News::Ended(good.clone()), &ops()).await.unwrap();
    notifier.deliver().await;
    let id = good.run.short();
    assert_eq!(notes.titles().concat(), [format!("Start shop {id}"), format!("Success shop {id}")]);

    for (operation, ended) in [
        (Operation::Verify, Ended::Succeeded),
        (Operation::Restore, Ended::Failed),
        (Operation::Prune, Ended::Succeeded),
        (Operation::Backup, Ended::Cancelled),
    ] {
        notifier.tell(News::Ended(run("shop", operation, ended, clock.now())), &ops()).await.unwrap();
    }
    notifier.deliver().await;
    assert_eq!(notes.titles(), Vec::<Vec<String>>::new());

    // While the switch cannot be reached, only the newest signal of each job is of use.
    notes.answer(|_, _, _| Err(Error::new(ErrorKind::Timeout, "silence").with_retry(Retry::Later)));
    let mut ids = Vec::new();
    for ended in [Ended::Succeeded, Ended::Failed] {
        for job in ["shop", "billing"] {
            let report = run(job, Operation::Backup, ended, clock.now());
            ids.push(report.run.short());
            notifier.begin(&report, &ops()).await.unwrap();
            notifier.deliver().await;
            notifier.tell(News::Ended(report), &ops()).await.unwrap();
        }
    }
    notes.answer(|_, _, _| Ok(Receipt::default()));
    pass(&notifier, &clock, Duration::from_hours(1)).await;
    assert_eq!(notes.titles().concat(), [format!("Failure shop {}", ids[2]), format!("Failure billing {}", ids[3])]);
}

#[tokio::test]
async fn two_ways_of_a_channel_fail_and_succeed_each_by_itself() {
    let clock = HandClock::at("2026-11-28T03:00:00Z");
    let (notifier, notes) = one(Channel::new("ops", vec![slack(), slack()]), &clock);
    let mut calls = 0;
    notes.answer(move |_, _, _| {
        calls += 1;
        let down = Error::new(ErrorKind::Timeout, "silence").with_retry(Retry::Later);
        if calls == 1 { Err(down) } else { Ok(Receipt::default()) }
    });
    notifier.tell(News::Ended(run("a", Operation::Backup, Ended::Failed, clock.now())), &ops()).await.unwrap();
    let delivery = notifier.deliver().await;
    assert_eq!((delivery.delivered, delivery.undelivered.len()), (1, 1));
    pass(&notifier, &clock, Duration::from_mins(2)).await;
    assert_eq!(notes.titles().len(), 2);
}
