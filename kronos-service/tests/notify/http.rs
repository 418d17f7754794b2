//! Slack, webhooks and dead man's switches at a real receiver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kronos_core::{Clock, ErrorKind, Retry, Secret, SystemClock};
use kronos_service::notify::{
    Channel, Delivery, MemoryNotifyStore, News, Notifier, Outside, Ping, Slack, Way, Webhook,
};
use kronos_service::{Ended, Operation, StorageEnded};
use libtest_mimic::Trial;
use ring::hmac;
use serde_json::Value;

use crate::common::{HandClock, Seeded, run, storage};
use crate::plain;
use crate::receiver::{Receiver, Reply, Request};

pub fn add(trials: &mut Vec<Trial>) {
    trials.push(plain("slack_gets_blocks_and_a_text", slack));
    trials.push(plain("a_webhook_gets_signed_json", webhook));
    trials.push(plain("a_switch_hears_start_success_and_failure", ping));
    trials.push(plain("what_passes_is_tried_again_and_what_does_not_is_not", answers));
    trials.push(plain("a_slow_receiver_is_not_waited_for", slow));
    trials.push(plain("a_receiver_that_is_down_gets_it_once_when_it_is_up", down_then_up));
    trials.push(plain("a_test_goes_out_by_each_way", tests));
    trials.push(plain("a_proxy_is_used_when_the_settings_name_one", proxy));
    trials.push(plain("settings_that_cannot_work_are_refused", refused));
}

pub fn to() -> Vec<String> {
    vec!["ops".to_owned()]
}

pub fn outside(clock: Arc<dyn Clock>) -> Outside {
    Outside::new(clock, Seeded::new(7)).with_host("db1.example")
}

pub fn notifier(channel: Channel, clock: &Arc<HandClock>) -> Notifier {
    let store = Arc::new(MemoryNotifyStore::default());
    Notifier::new(vec![channel], store, outside(Arc::clone(clock) as Arc<dyn Clock>)).unwrap()
}

pub fn channel(way: Way) -> Channel {
    Channel { timeout: Duration::from_secs(20), ..Channel::new("ops", vec![way]) }
}

pub async fn fails(notifier: &Notifier, clock: &HandClock) -> Delivery {
    let mut report = run("shop <&> Läden", Operation::Backup, Ended::Failed, clock.now());
    report.storages.push(storage("offsite", StorageEnded::Failed, 0));
    notifier.tell(News::Ended(report), &to()).await.unwrap();
    notifier.deliver().await
}

fn url(receiver: &Receiver, path: &str) -> Secret {
    Secret::new(format!("http://{}{path}", receiver.address))
}

fn slack_to(receiver: &Receiver) -> Channel {
    channel(Way::Slack(Slack { webhook: url(receiver, "/services/T0/B0/hushhushhush") }))
}

fn clock() -> Arc<HandClock> {
    HandClock::at("2026-11-28T03:00:00Z")
}

async fn slack() {
    let receiver = Receiver::start();
    let clock = clock();
    let notifier = notifier(slack_to(&receiver), &clock);
    assert_eq!(fails(&notifier, &clock).await.delivered, 1);
    let requests = receiver.requests();
    let [request] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(request.line, "POST /services/T0/B0/hushhushhush HTTP/1.1");
    assert_eq!(request.headers["content-type"], "application/json");
    let message = request.json();
    assert_eq!(message["text"], "shop &lt;&amp;&gt; Läden: backup failed, and 1 more");
    let blocks = message["blocks"].as_array().unwrap();
    let texts: Vec<_> = blocks.iter().filter_map(|block| block["text"]["text"].as_str()).collect();
    assert_eq!((blocks.len(), texts.len()), (3, 2));
    assert!(
        texts[0].starts_with(":x: *shop &lt;&amp;&gt; Läden: backup failed*\n_error_: the server cannot"),
        "{texts:?}"
    );
    assert!(texts[0].contains("\n_caused by_: connection refused\n_what to do_: check that the other side is up"));
    assert!(texts[1].starts_with(":warning: *storage offsite is down*"), "{texts:?}");
    assert_eq!(blocks[2]["elements"][0]["text"], "sent by kronos on db1.example");

    // As long as Slack takes it, however much there is to say.
    for n in 0..60 {
        let mut report = run(&format!("{}{n}", "long ".repeat(200)), Operation::Backup, Ended::Failed, clock.now());
        report.warnings = vec!["<much> & more ".repeat(500); 100];
        notifier.tell(News::Ended(report), &to()).await.unwrap();
    }
    assert_eq!(notifier.finish().await.delivered, 1);
    let message = receiver.requests()[0].json();
    let blocks = message["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50, "{}", blocks.len());
    for block in blocks {
        assert!(block["text"]["text"].as_str().is_none_or(|text| text.chars().count() <= 3000));
    }
}

/// What docs/notifications.md tells receivers to do.
fn is_signed(request: &Request, key: &str) -> bool {
    let signature = request.headers["kronos-signature"].strip_prefix("v1=").unwrap();
    let signature: Vec<u8> =
        (0..signature.len() / 2).map(|n| u8::from_str_radix(&signature[2 * n..2 * n + 2], 16).unwrap()).collect();
    let mut signed = format!("{}.", request.headers["kronos-timestamp"]).into_bytes();
    signed.extend_from_slice(&request.body);
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), &signed, &signature).is_ok()
}

async fn webhook() {
    let receiver = Receiver::start();
    let clock = clock();
    let headers = BTreeMap::from([("Authorization".to_owned(), Secret::new("Bearer abc"))]);
    let way = Webhook { url: url(&receiver, "/in?token=x"), signing_key: Some(Secret::new("sign me")), headers };
    let notifier = notifier(channel(Way::Webhook(way)), &clock);
    assert_eq!(fails(&notifier, &clock).await.delivered, 1);
    let requests = receiver.requests();
    let [request] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(request.line, "POST /in?token=x HTTP/1.1");
    assert_eq!(request.headers["authorization"], "Bearer abc");
    assert_eq!(request.headers["kronos-timestamp"], "1795834800");
    assert!(is_signed(request, "sign me"));
    assert!(!is_signed(request, "sign you"));
    let mut forged = request.clone();
    forged.headers.insert("kronos-timestamp".to_owned(), "1795834801".to_owned());
    assert!(!is_signed(&forged, "sign me"));

    let json = request.json();
    assert_eq!(json["schema"], "kronos.notification/1");
    assert_eq!(json["id"], request.headers["kronos-id"]);
    assert_eq!((&json["test"], &json["lost"], &json["host"]), (&false.into(), &0.into(), &"db1.example".into()));
    let notices = json["notices"].as_array().unwrap();
    let field = |n: usize, path: &str| notices[n].pointer(path).cloned().unwrap_or(Value::Null);
    assert_eq!(field(0, "/occasion"), "failure");
    assert_eq!(field(0, "/severity"), "error");
    assert_eq!(field(0, "/job"), "shop <&> Läden");
    assert_eq!(field(0, "/error/kind"), "connection-failed");
    assert_eq!(field(0, "/report/operation"), "backup");
    assert_eq!((field(1, "/occasion"), field(1, "/storage")), ("storage-down".into(), "offsite".into()));
    assert!(json["text"].as_str().unwrap().contains("  error: the server cannot be reached (host: db)\n"), "{json}");
}

async fn ping() {
    let receiver = Receiver::start();
    let clock = clock();
    let notifier = notifier(channel(Way::Ping(Ping { url: url(&receiver, "/ping/abc") })), &clock);
    let mut lines = Vec::new();
    for ended in [Ended::Succeeded, Ended::Failed] {
        let report = run("shop", Operation::Backup, ended, clock.now());
        let rid = report.run.to_string();
        notifier.begin(&report, &to()).await.unwrap();
        notifier.deliver().await;
        notifier.tell(News::Ended(report), &to()).await.unwrap();
        notifier.deliver().await;
        let requests = receiver.requests();
        assert_eq!(requests.len(), 2);
        for request in &requests {
            let (path, id) = request.line.split_once("?rid=").unwrap();
            let id = id.strip_suffix(" HTTP/1.1").unwrap();
            assert_eq!((id.len(), id.replace('-', "")), (36, rid.clone()));
            lines.push(path.to_owned());
        }
        let body = String::from_utf8(requests[1].body.clone()).unwrap();
        let expected = if ended == Ended::Failed { "error: the server cannot be reached" } else { "stored 20.0 MiB" };
        assert!(body.contains(expected), "{body}");
    }
    assert_eq!(lines, ["POST /ping/abc/start", "POST /ping/abc", "POST /ping/abc/start", "POST /ping/abc/fail"]);
}

async fn answers() {
    let receiver = Receiver::start();
    let cases = [
        ("204 No Content", None),
        ("302 Found", Some((ErrorKind::Config, Retry::Never))),
        ("400 Bad Request", Some((ErrorKind::Unsupported, Retry::Never))),
        ("403 Forbidden", Some((ErrorKind::Authentication, Retry::Never))),
        ("404 Not Found", Some((ErrorKind::NotFound, Retry::Never))),
        ("410 Gone", Some((ErrorKind::NotFound, Retry::Never))),
        ("408 Request Timeout", Some((ErrorKind::ConnectionFailed, Retry::Later))),
        ("429 Too Many Requests", Some((ErrorKind::ConnectionFailed, Retry::Later))),
        ("500 Internal Server Error", Some((ErrorKind::ConnectionFailed, Retry::Later))),
        ("503 Service Unavailable", Some((ErrorKind::ConnectionFailed, Retry::Later))),
    ];
    for (status, expected) in cases {
        let clock = clock();
        let notifier = notifier(slack_to(&receiver), &clock);
        let here = receiver.address;
        receiver.answer(move |_| Reply {
            headers: format!("retry-after: 7200\r\nlocation: http://{here}/elsewhere\r\n"),
            body: "invalid_token\nhushhushhush".to_owned(),
            ..Reply::of(status)
        });
        let delivery = fails(&notifier, &clock).await;
        let Some((kind, retry)) = expected else {
            assert_eq!((delivery.delivered, receiver.requests().len()), (1, 1), "{status}");
            continue;
        };
        let [undelivered] = &delivery.undelivered[..] else { panic!("{status}: {delivery:?}") };
        let error = &undelivered.error;
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{status}: {error}");
        assert_eq!(error.context("answer"), Some("invalid_token ***"), "{status}");
        let again = (retry == Retry::Later).then(|| clock.now().plus(Duration::from_hours(2)));
        assert_eq!((undelivered.again, delivery.next), (again, again), "{status}");
        clock.pass(Duration::from_mins(119));
        notifier.deliver().await;
        let before = receiver.requests().len();
        assert_eq!(before, 1, "{status}: not again before the pause, and not elsewhere");
        clock.pass(Duration::from_mins(2));
        receiver.answer(|_| Reply::of("200 OK"));
        let delivered = notifier.deliver().await.delivered;
        assert_eq!((delivered, receiver.requests().len()), if again.is_some() { (1, 1) } else { (0, 0) }, "{status}");
        receiver.requests();
    }
}

async fn slow() {
    let receiver = Receiver::start();
    receiver.answer(|_| Reply { after: Duration::from_mins(2), ..Reply::of("200 OK") });
    let clock = clock();
    let notifier = notifier(Channel { timeout: Duration::from_secs(2), ..slack_to(&receiver) }, &clock);
    let began = std::time::Instant::now();
    let delivery = fails(&notifier, &clock).await;
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    let error = &delivery.undelivered[0].error;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Later), "{error:?}");
}

async fn down_then_up() {
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let clock = clock();
    let webhook = Secret::new(format!("http://{address}/hushhushhush"));
    let down = notifier(channel(Way::Slack(Slack { webhook })), &clock);
    let delivery = fails(&down, &clock).await;
    let error = &delivery.undelivered[0].error;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::ConnectionFailed, Retry::Later), "{error:?}");
    assert!(!format!("{error:?}").contains("hushhushhush"), "{error:?}");

    // The receiver answers and the answer is lost: it is sent again, under the same identity.
    let receiver = Receiver::start();
    let way = Webhook { url: url(&receiver, "/in"), signing_key: None, headers: BTreeMap::new() };
    let notifier = notifier(channel(Way::Webhook(way)), &clock);
    receiver.answer(|_| Reply::of("500 Internal Server Error"));
    fails(&notifier, &clock).await;
    for _ in 0..3 {
        clock.set(notifier.deliver().await.next.unwrap());
    }
    receiver.answer(|_| Reply::of("200 OK"));
    assert_eq!(notifier.deliver().await.delivered, 1);
    assert_eq!(notifier.deliver().await.next, None);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| request.headers["kronos-id"] == requests[0].headers["kronos-id"]));
    assert!(requests.iter().all(|request| !request.headers.contains_key("kronos-signature")));
}

async fn tests() {
    let receiver = Receiver::start();
    receiver.answer(|request| Reply::of(if request.line.contains("/hook") { "404 Not Found" } else { "200 OK" }));
    let ways = vec![
        Way::Slack(Slack { webhook: url(&receiver, "/hook") }),
        Way::Webhook(Webhook { url: url(&receiver, "/in"), signing_key: None, headers: BTreeMap::new() }),
        Way::Ping(Ping { url: url(&receiver, "/ping") }),
    ];
    let store = Arc::new(MemoryNotifyStore::default());
    let notifier = Notifier::new(vec![Channel::new("ops", ways)], store, outside(Arc::new(SystemClock))).unwrap();
    let results = notifier.test("ops").await.unwrap();
    let results: Vec<_> = results.iter().map(|(way, result)| (way.as_str(), result.is_ok())).collect();
    assert_eq!(results, [("slack", false), ("webhook", true), ("ping", true)]);
    let mut requests = receiver.requests();
    requests.sort_by(|a, b| a.line.cmp(&b.line));
    let lines: Vec<_> = requests.iter().map(|request| request.line.as_str()).collect();
    assert_eq!(lines, ["POST /hook HTTP/1.1", "POST /in HTTP/1.1", "POST /ping/log HTTP/1.1"]);
    assert_eq!(requests[1].json()["test"], true);
    assert_eq!(notifier.deliver().await.next, None, "a test is not tried again");
    assert_eq!(notifier.test("op").await.unwrap_err().context("did you mean"), Some("ops"));
}

async fn proxy() {
    let proxy = Receiver::start();
    let clock = clock();
    let way = Way::Slack(Slack { webhook: Secret::new("http://hooks.invalid/abc") });
    let with = Secret::new(format!("http://me:hush@{}", proxy.address));
    let notifier = notifier(Channel { proxy: Some(with), ..channel(way) }, &clock);
    assert_eq!(fails(&notifier, &clock).await.delivered, 1);
    let request = &proxy.requests()[0];
    assert_eq!(request.line, "POST http://hooks.invalid/abc HTTP/1.1");
    assert_eq!(request.headers["proxy-authorization"], "Basic bWU6aHVzaA==");
}

async fn refused() {
    let hook = |url: &str| Way::Slack(Slack { webhook: Secret::new(url) });
    let header = |name: &str, value: &str| {
        let headers = BTreeMap::from([(name.to_owned(), Secret::new(value))]);
        Way::Webhook(Webhook { url: Secret::new("https://x.example"), signing_key: None, headers })
    };
    let with = |way: Way| Channel::new("ops", vec![way]);
    let good = || hook("https://x.example");
    let cases = [
        Channel::new("ops", Vec::new()),
        with(hook("hush-hush")),
        with(hook("ftp://x.example/hush-hush")),
        with(header("not a name", "hush-hush")),
        with(header("authorization", "hush-hush\n")),
        with(header("kronos-signature", "hush-hush")),
        Channel { timeout: Duration::ZERO, ..with(good()) },
        Channel { tls_ca: Some("/no/such/file".into()), ..with(good()) },
        Channel { proxy: Some(Secret::new("::hush-hush::")), ..with(good()) },
    ];
    for channel in cases {
        let what = format!("{channel:?}");
        let error = channel.check().unwrap_err();
        assert_eq!((error.kind(), error.context("channel")), (ErrorKind::Config, Some("ops")), "{what}: {error}");
        assert!(!format!("{error:?}{what}").contains("hush-hush"), "{error:?}");
    }
    let clock: Arc<dyn Clock> = HandClock::at("2026-11-28T03:00:00Z");
    let twice = vec![with(good()), with(good())];
    let error = Notifier::new(twice, Arc::new(MemoryNotifyStore::default()), outside(clock)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}
