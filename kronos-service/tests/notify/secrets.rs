//! Random secrets are looked for in all that is sent, kept and shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use kronos_core::testing::Prng;
use kronos_core::{Clock as _, Error, ErrorKind, Secret};
use kronos_service::notify::{Channel, Email, FileNotifyStore, News, Notifier, Occasion, Ping, Slack, Way, Webhook};
use kronos_service::{Ended, Failure, Operation, StorageEnded};
use libtest_mimic::Trial;

use crate::common::{HandClock, run, storage};
use crate::http::{channel, notifier, outside, to};
use crate::plain;
use crate::receiver::{Receiver, Reply};

pub fn add(trials: &mut Vec<Trial>) {
    trials.push(plain("no_secret_is_sent_kept_or_shown", no_secret));
    trials.push(plain("a_short_secret_is_not_shown_by_a_page_that_repeats_it", short_secrets));
    trials.push(plain("a_secret_is_not_shown_where_an_answer_is_cut", cut_secret));
    trials.push(plain("a_login_that_a_mail_server_repeats_is_not_shown", mail_login));
}

async fn no_secret() {
    let receiver = Receiver::start();
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let mut prng = Prng::new(u64::try_from(seed % u128::from(u64::MAX)).unwrap());
    let mut secrets = Vec::new();
    let mut secret = || {
        let secret: String = (0..24).map(|_| char::from(b'a' + u8::try_from(prng.below(26)).unwrap())).collect();
        secrets.push(secret.clone());
        secret
    };
    let here = receiver.address;
    let [hook, url, key, header, switch] = [(); 5].map(|()| secret());
    let ways = vec![
        Way::Slack(Slack { webhook: Secret::new(format!("http://{here}/services/{hook}")) }),
        Way::Webhook(Webhook {
            url: Secret::new(format!("http://{here}/in?token={url}")),
            signing_key: Some(Secret::new(&key)),
            headers: BTreeMap::from([("authorization".to_owned(), Secret::new(format!("Bearer {header}")))]),
        }),
        Way::Ping(Ping { url: Secret::new(format!("http://{here}/{switch}")) }),
    ];
    let mut channel = Channel::new("ops", ways);
    channel.on = Occasion::ALL.into();
    channel.every_nth = 1;
    // What a run tells holds secrets in the forms that they have in URLs, and those of the channel.
    let [login, store, query, cause] = [(); 4].map(|()| secret());
    let clock = HandClock::at("2026-11-28T03:00:00Z");
    let mut report = run("shop", Operation::Backup, Ended::Failed, clock.now());
    let error = Error::new(ErrorKind::ConnectionFailed, format!("postgres://me:{login}@db/shop cannot be reached"))
        .with("url", format!("s3://key:{store}@bucket"))
        .with("hint", format!("try https://x.example/?token={query}"))
        .with_source(std::io::Error::other(format!("mysql://root:{cause}@db")));
    report.error = Some(Failure::of(&error));
    report.warnings = vec![format!("mongodb://me:{login}@db is slow"), format!("the hook said {hook} and {header}")];
    report.source = Some(format!("postgres://me:{login}@db/shop"));
    let mut figures = storage("offsite", StorageEnded::Failed, 0);
    figures.storage = format!("s3://key:{store}@bucket");
    report.storages.push(figures);

    let place = tempfile::tempdir().unwrap();
    let notifier = Notifier::new(
        vec![channel.clone()],
        Arc::new(FileNotifyStore::new(place.path())),
        outside(Arc::clone(&clock) as Arc<dyn kronos_core::Clock>),
    )
    .unwrap();
    let mut shown = vec![format!("{channel:?} {notifier:?}")];
    // Servers that repeat what they got.
    for status in ["503 Service Unavailable", "400 Bad Request", "200 OK"] {
        receiver.answer(move |request| Reply {
            body: format!("{} {}", request.line, request.headers.get("authorization").cloned().unwrap_or_default()),
            ..Reply::of(status)
        });
        notifier.begin(&report, &to()).await.unwrap();
        notifier.tell(News::Ended(report.clone()), &to()).await.unwrap();
        let delivery = notifier.finish().await;
        shown.push(format!("{delivery:?}"));
        shown.push(std::fs::read_to_string(place.path().join("notifications.json")).unwrap());
        for (_, result) in notifier.test("ops").await.unwrap() {
            shown.push(format!("{result:?}"));
        }
        clock.pass(std::time::Duration::from_hours(2));
        shown.push(format!("{:?}", notifier.finish().await));
    }
    let requests = receiver.requests();
    assert!(requests.len() > 9, "{}", requests.len());
    for request in &requests {
        // Addresses and the user's own header have to have theirs.
        shown.push(String::from_utf8_lossy(&request.body).into_owned());
        let others = request.headers.iter().filter(|(name, _)| *name != "authorization");
        shown.push(format!("{:?}", others.collect::<Vec<_>>()));
    }
    let shown = shown.join("\n");
    assert!(shown.contains("cannot be reached") && shown.contains("is slow"), "{shown}");
    for secret in secrets {
        let at = shown.find(&secret);
        let around = at.map(|at| String::from_utf8_lossy(&shown.as_bytes()[at.saturating_sub(200)..at + 24]));
        assert!(at.is_none(), "a secret is shown (seed {seed}): {around:?}");
    }
}

/// What a test of a channel shows.
async fn shown(way: Way) -> String {
    let clock = HandClock::at("2026-11-28T03:00:00Z");
    let results = notifier(channel(way), &clock).test("ops").await.unwrap();
    format!("{results:?}")
}

async fn short_secrets() {
    let receiver = Receiver::start();
    // The page that many servers answer with.
    receiver.answer(|request| Reply {
        body: format!("Cannot {}: {:?}", request.line, request.headers.get("authorization")),
        ..Reply::of("404 Not Found")
    });
    let login = receiver.address.to_string();
    for (place, secrets) in [
        (format!("{login}/in/aB3xK9qLm2z"), &["aB3xK9qLm2z"][..]),
        (format!("{login}/hook?token=WHQUERY9"), &["WHQUERY9"]),
        (format!("{login}/ping/PINGSECRET9"), &["PINGSECRET9"]),
        (format!("hushuser:pa%73s@{login}/hook"), &["hushuser", "pass", "aHVzaHVzZXI6cGFzcw=="]),
    ] {
        let url = Secret::new(format!("http://{place}"));
        let webhook = Webhook { url: url.clone(), signing_key: None, headers: BTreeMap::new() };
        for way in [Way::Webhook(webhook), Way::Ping(Ping { url })] {
            let shown = shown(way).await;
            assert!(shown.contains("Cannot POST"), "{shown}");
            assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
        }
    }
}

async fn cut_secret() {
    let receiver = Receiver::start();
    let secret = "hushqzvwkmxpyr";
    for filled in 270..300 {
        receiver.answer(move |request| Reply {
            body: format!("{}{}", ".".repeat(filled), request.line),
            ..Reply::of("404 Not Found")
        });
        let webhook = Secret::new(format!("http://{}/{secret}", receiver.address));
        let shown = shown(Way::Slack(Slack { webhook })).await;
        assert!(shown.contains("....") && !shown.contains("hush"), "{filled}: {shown}");
    }
}

/// A mail server that repeats what it refuses.
fn repeating() -> std::net::SocketAddr {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let commands = BufReader::new(stream.try_clone().unwrap());
            stream.write_all(b"220 here\r\n").unwrap();
            for command in commands.lines().map_while(Result::ok) {
                let answer = match &command {
                    hello if hello.starts_with("EHLO") => "250-here\r\n250 AUTH PLAIN LOGIN".to_owned(),
                    command => format!("535 not accepted: {command}"),
                };
                if stream.write_all(format!("{answer}\r\n").as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    address
}

async fn mail_login() {
    let mail = Email {
        smtp: format!("smtp://{}", repeating()),
        login: Some("me".to_owned()),
        password: Some(Secret::new("hush-hush")),
        plain_login: true,
        from: "kronos@x.example".to_owned(),
        to: vec!["ops@x.example".to_owned()],
    };
    let shown = shown(Way::Email(mail)).await;
    assert!(shown.contains("not accepted: AUTH PLAIN ***"), "{shown}");
    assert!(!shown.contains("AG1lAGh1c2gtaHVzaA==") && !shown.contains("hush"), "{shown}");
}
