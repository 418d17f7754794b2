//! What people hear of the daemon itself, and messages that arrive in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kronos_core::{Error, ErrorKind, Retry};
use kronos_service::audit::{AuditLog, Who, verify_audit};
use kronos_service::notify::{
    Channel, Contents, Courier, Letter, MemoryNotifyStore, News, Notifier, Outside, Receipt, Way,
};
use kronos_service::schedule::Missed;
use kronos_service::store::MemoryStore;
use kronos_service::{Ended, Operation};

use super::house::{House, MIDNIGHT, channel, job, minutes, plain, time};
use super::notes;

#[tokio::test(start_paused = true)]
async fn runs_that_a_power_cut_has_cost_are_told() {
    let jobs = vec![
        plain("once", "0 1 * * *"),
        job("skip", "0 1 * * *", |settings| settings.missed = Missed::Skip),
        plain("one", "0 3 * * *"),
        plain("none", "0 3 2 6 *"),
    ];
    let house = House::new(Arc::new(MemoryStore::new()), jobs);
    let living = house.start();
    tokio::time::sleep(minutes(30)).await;
    living.kill().await;
    tokio::time::sleep(minutes(26 * 60)).await;
    let living = house.start();
    tokio::time::sleep(minutes(3)).await;
    let mut heard = house.heard();
    heard.sort();
    assert_eq!(heard, ["once: 2 runs were missed", "one: a run was missed", "skip: 2 runs were missed"]);
    let missed = |job: &str| living.figure(&format!("kronos_job_missed_runs_total{{kronos_job=\"{job}\"}}"));
    assert_eq!((missed("skip"), missed("once").unwrap_or(0.0)), (Some(2.0), 0.0), "one of them is made up for");
    tokio::time::sleep(minutes(24 * 60)).await;
    assert!(house.heard().is_empty());
    living.stop().await;
}

#[tokio::test(start_paused = true)]
async fn runs_that_were_not_counted_are_told_as_many() {
    let often = "0-30 * * * *";
    let jobs = vec![plain("once", often), job("skip", often, |settings| settings.missed = Missed::Skip)];
    let house = House::new(Arc::new(MemoryStore::new()), jobs);
    let living = house.start();
    tokio::time::sleep(minutes(5)).await;
    living.kill().await;
    tokio::time::sleep(minutes(30 * 24 * 60 + 40)).await;
    let living = house.start();
    tokio::time::sleep(minutes(3)).await;
    let mut heard: Vec<_> = house.heard().into_iter().filter(|title| title.contains("missed")).collect();
    heard.sort();
    assert_eq!(heard, ["once: more than 10,000 runs were missed", "skip: more than 10,000 runs were missed"]);
    let missed = living.figure("kronos_job_missed_runs_total{kronos_job=\"skip\"}").unwrap();
    assert!(missed > 10_000.0, "{missed}");
    living.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_interrupted_is_told_as_if_it_had_told_itself() {
    let house = House::new(Arc::new(MemoryStore::new()), vec![plain("shop", "0 1 * * *")]);
    house.world.runner.lengths.lock().unwrap().insert("shop".to_owned(), minutes(30));
    let place = tempfile::tempdir().unwrap();
    let who = Who { user: None, host: Some("db1".to_owned()), pid: 7 };
    let audit = AuditLog::new(place.path(), who, house.world.clock.clone());
    let living = house.start();
    tokio::time::sleep(minutes(70)).await;
    living.kill().await;
    // So long that the next start finds out at once.
    tokio::time::sleep(minutes(2)).await;
    let mut care = house.care();
    care.audit = Some(audit);
    let living = house.start_with(care);
    tokio::time::sleep(minutes(5)).await;
    let letters = house.letters.letters();
    assert_eq!(letters.iter().flat_map(notes::titles).collect::<Vec<_>>(), ["shop: backup failed"]);
    let Contents::Notices(notices) = &letters[0].contents else { panic!("{letters:?}") };
    let error = notices[0].error.as_ref().unwrap();
    assert!(error.kind == "interrupted" && error.message.contains("kronos daemon of a test"), "{error:?}");
    assert!(notices[0].hint.is_some());

    let written = std::fs::read_to_string(place.path().join("audit.jsonl")).unwrap();
    assert!(written.contains(r#""outcome":"failed""#) && written.contains("interrupted"), "{written}");
    assert_eq!(verify_audit(place.path(), &[]).unwrap().entries, 1);
    let failed = r#"kronos_backup_failures_total{kronos_job="shop",kind="interrupted"}"#;
    assert_eq!(living.figure(failed), Some(1.0));
    assert_eq!(living.figure(r#"kronos_backup_failing_runs{kronos_job="shop"}"#), Some(1.0), "it counts once");
    living.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_delivered_is_tried_again_and_comes_once() {
    let house = House::new(Arc::new(MemoryStore::new()), vec![plain("shop", "0 1 5 * *")]);
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = attempts.clone();
    house.letters.answer(move |_, _, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Err(Error::new(ErrorKind::ConnectionFailed, "down").with_retry(Retry::Later))
    });
    // A command has left it behind.
    let report = notes::run("shop", Operation::Backup, Ended::Failed, time(MIDNIGHT));
    house.notifier().tell(News::Ended(report), &["ops".to_owned()]).await.unwrap();
    let living = house.start();
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_eq!(attempts.load(Ordering::SeqCst), 1, "at the start already");
    tokio::time::sleep(minutes(120)).await;
    let tried = attempts.load(Ordering::SeqCst);
    assert!((6..=20).contains(&tried), "{tried}");
    assert!(house.heard().is_empty());
    house.letters.answer(|_, _, _| Ok(Receipt::default()));
    tokio::time::sleep(minutes(60)).await;
    assert_eq!(house.heard(), ["shop: backup failed"]);
    tokio::time::sleep(minutes(600)).await;
    assert!(house.heard().is_empty());

    // So is what another program leaves behind meanwhile.
    let report = notes::run("shop", Operation::Restore, Ended::Failed, time(MIDNIGHT));
    house.notifier().tell(News::Ended(report), &["ops".to_owned()]).await.unwrap();
    tokio::time::sleep(minutes(11)).await;
    assert_eq!(house.heard(), ["shop: restore failed"]);
    living.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_sends_the_last_words_and_waits_for_nobody_who_is_silent() {
    let house = House::new(Arc::new(MemoryStore::new()), vec![plain("shop", "0 1 5 * *")]);
    let living = house.start();
    tokio::time::sleep(minutes(5)).await;
    let tell = |operation| {
        let notifier = house.notifier();
        async move {
            let report = notes::run("shop", operation, Ended::Failed, time(MIDNIGHT));
            notifier.tell(News::Ended(report), &["ops".to_owned()]).await.unwrap();
        }
    };
    tell(Operation::Backup).await;
    living.stop().await;
    assert_eq!(house.heard(), ["shop: backup failed"]);

    let living = house.start();
    tokio::time::sleep(minutes(5)).await;
    tell(Operation::Restore).await;
    house.letters.answer(|_, _, _| Err(Error::new(ErrorKind::Timeout, "silence").with_retry(Retry::Later)));
    let began = tokio::time::Instant::now();
    living.stop().await;
    assert!(began.elapsed() < minutes(1), "{:?}", began.elapsed());
    house.letters.answer(|_, _, _| Ok(Receipt::default()));
    let _living = house.start();
    tokio::time::sleep(minutes(5)).await;
    assert_eq!(house.heard(), ["shop: restore failed"], "what was left comes with the next start");
}

/// Takes letters and never says a word.
#[derive(Debug)]
struct Silent;

#[async_trait::async_trait]
impl Courier for Silent {
    async fn deliver(&self, _: &Channel, _: &Way, _: &Letter) -> kronos_core::Result<Receipt> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_hangs_holds_up_neither_what_is_to_be_told_nor_a_stop() {
    let house = House::new(Arc::new(MemoryStore::new()), vec![plain("shop", "0 1 * * *"), plain("mail", "0 3 1 1 *")]);
    house.world.runner.lengths.lock().unwrap().insert("shop".to_owned(), minutes(30));
    let living = house.start();
    tokio::time::sleep(minutes(70)).await;
    living.kill().await;
    let outside = Outside::new(house.world.clock.clone(), notes::Seeded::new(1)).with_courier(Arc::new(Silent));
    let told = Arc::new(MemoryNotifyStore::default());
    let notifier = Arc::new(Notifier::new(vec![channel()], told, outside).unwrap());
    let report = notes::run("mail", Operation::Backup, Ended::Failed, time(MIDNIGHT));
    notifier.tell(News::Ended(report), &["ops".to_owned()]).await.unwrap();
    let mut care = house.care();
    care.notifier = Some(notifier);
    let living = house.start_with(care);
    tokio::time::sleep(minutes(5)).await;
    let failed = r#"kronos_backup_failures_total{kronos_job="shop",kind="interrupted"}"#;
    assert_eq!(living.figure(failed), Some(1.0), "it was taken in meanwhile");
    tokio::time::sleep(minutes(60)).await;
    let began = tokio::time::Instant::now();
    living.stop().await;
    assert_eq!(began.elapsed().as_secs(), 15);
}
