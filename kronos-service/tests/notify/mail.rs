//! Mail at a real server, read by another program's parser.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use kronos_core::{ErrorKind, Retry, Secret};
use kronos_service::notify::{Channel, Email, News, Slack, Way};
use kronos_service::{Ended, Operation};
use libtest_mimic::Trial;

use crate::common::{HandClock, run};
use crate::http::{channel, fails, notifier, to};
use crate::plain;
use crate::receiver::Receiver;
use crate::smtp::Smtp;

pub fn add(trials: &mut Vec<Trial>) {
    trials.push(Smtp::on("a_mail_has_text_and_html_and_headers_that_others_read", as_it_arrives));
    trials.push(Smtp::on("tls_starttls_and_plain_by_the_scheme", schemes));
    trials.push(Smtp::on("a_wrong_password_is_told_and_not_tried_again", wrong_password));
    trials.push(Smtp::on("an_authority_that_is_not_known_is_not_trusted", strangers));
    trials.push(Smtp::on("a_recipient_who_is_refused_does_not_silence_the_others", refused_recipient));
    trials.push(Smtp::on("a_server_that_is_busy_or_down_gets_it_later_and_once", busy_and_down));
    trials.push(Smtp::on("a_server_that_does_not_answer_is_not_waited_for", slow));
    trials.push(Smtp::on("http_by_tls_trusts_the_channels_own_authority", https));
    trials.push(plain("mail_settings_that_cannot_work_are_refused", refused_settings));
}

fn clock() -> Arc<HandClock> {
    HandClock::at("2026-11-28T03:00:00Z")
}

fn by(server: &Smtp, email: Email) -> Channel {
    Channel { tls_ca: Some(server.ca.clone()), ..channel(Way::Email(email)) }
}

async fn as_it_arrives(server: Smtp) {
    let (one, two) = (Smtp::somebody("ops"), Smtp::somebody("admin"));
    let clock = clock();
    let email = server.mail(&server.tls, &[&format!("Bereitschaft Süd <{one}>"), &two]);
    let notifier = notifier(by(&server, email), &clock);
    let delivery = fails(&notifier, &clock).await;
    assert_eq!(delivery.delivered, 1, "{delivery:?}");
    let mails = server.mails_to(&one);
    let [mail] = &mails[..] else { panic!("{mails:?}") };
    assert_eq!((&mail["to"][1], &mail["from"]), (&two.as_str().into(), &"kronos@backups.example".into()));
    assert_eq!((&mail["encrypted"], &mail["login"]), (&true.into(), &server.user.as_str().into()));
    assert_eq!((&mail["hello"], &mail["type"]), (&"db1.example".into(), &"multipart/alternative".into()));
    assert_eq!(mail["defects"].as_array().unwrap().len(), 0, "{}", mail["defects"]);
    let header = |name: &str| mail["headers"][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(header("subject"), "[kronos] shop <&> Läden: backup failed, and 1 more");
    assert_eq!(header("from"), "Kronos Läden <kronos@backups.example>");
    assert_eq!(header("to"), format!("Bereitschaft Süd <{one}>, {two}"));
    assert_eq!(header("date"), "Sat, 28 Nov 2026 03:00:00 +0000");
    assert_eq!(header("auto-submitted"), "auto-generated");
    let id = header("message-id");
    assert!(id.len() == 1 + 32 + "@backups.example>".len() && id.ends_with("@backups.example>"), "{id}");
    assert!(mail["raw"].as_str().unwrap().is_ascii());

    let part = |n: usize, field: &str| mail["parts"][n][field].as_str().unwrap().to_owned();
    assert_eq!((part(0, "type"), part(0, "charset")), ("text/plain".to_owned(), "utf-8".to_owned()));
    assert_eq!((part(1, "type"), part(1, "charset")), ("text/html".to_owned(), "utf-8".to_owned()));
    let (text, html) = (part(0, "text").replace("\r\n", "\n"), part(1, "text"));
    for line in [
        "shop <&> Läden: backup failed\n  error: the server cannot be reached (host: db)\n",
        "  caused by: connection refused\n",
        "  what to do: check that the other side is up and can be reached; `kronos validate` tries\n",
        "  storage: offsite lacks it: the store does not answer (storage: offsite)\n",
        "  ran: 2026-11-28 02:59:00 UTC for 1 min, by the schedule\n",
        "\nstorage offsite is down\n",
        "  note: it lacks backups of shop <&> Läden\n",
        "\nsent by kronos on db1.example\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(html.contains("shop &lt;&amp;&gt; Läden: backup failed</h3>"), "{html}");
    assert!(html.contains("<td>connection refused</td>"), "{html}");
}

async fn schemes(server: Smtp) {
    let clock = clock();
    let login = |url: &str, to: &str| server.mail(url, &[to]);
    let plainly = |url: &str, to: &str| Email { login: None, password: None, ..server.mail(url, &[to]) };
    let openly = |url: &str, to: &str| Email { plain_login: true, ..server.mail(url, &[to]) };
    let somebody = || Smtp::somebody("ops");
    let (a, b, c, d) = (somebody(), somebody(), somebody(), somebody());
    for (email, address, is_encrypted, has_login) in [
        (login(&server.tls, &a), &a, true, true),
        (login(&server.starttls, &b), &b, true, true),
        (plainly(&server.plain, &c), &c, false, false),
        (openly(&server.login, &d), &d, false, true),
    ] {
        let delivery = fails(&notifier(by(&server, email.clone()), &clock), &clock).await;
        assert_eq!(delivery.delivered, 1, "{}: {delivery:?}", email.smtp);
        let mails = server.mails_to(address);
        assert_eq!(mails.len(), 1, "{}", email.smtp);
        assert_eq!((&mails[0]["encrypted"], mails[0]["login"].is_string()), (&is_encrypted.into(), has_login));
    }
    // Where STARTTLS is asked for and not to be had, nothing is sent.
    let somebody = somebody();
    let stripped = server.plain.replace("smtp://", "smtp+starttls://");
    let delivery = fails(&notifier(by(&server, login(&stripped, &somebody)), &clock), &clock).await;
    assert_eq!(delivery.undelivered[0].error.kind(), ErrorKind::Config, "{delivery:?}");
    assert_eq!(server.mails_to(&somebody).len(), 0);
}

async fn wrong_password(server: Smtp) {
    let clock = clock();
    for url in [&server.tls, &server.starttls] {
        let somebody = Smtp::somebody("ops");
        let email = Email { password: Some(Secret::new("hush-hush")), ..server.mail(url, &[&somebody, "x@y.example"]) };
        let notifier = notifier(by(&server, email), &clock);
        let delivery = fails(&notifier, &clock).await;
        let error = &delivery.undelivered[0].error;
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Authentication, Retry::Never), "{error:?}");
        assert!(error.context("hint").is_some());
        assert_eq!((delivery.undelivered[0].again, delivery.next), (None, None));
        assert!(!format!("{delivery:?} {notifier:?}").contains("hush-hush"));
        assert_eq!(server.mails_to(&somebody).len(), 0);
    }
}

async fn strangers(server: Smtp) {
    let clock = clock();
    let somebody = Smtp::somebody("ops");
    for url in [&server.tls, &server.starttls] {
        for authority in [None, Some(server.wrong_ca.clone())] {
            let email = server.mail(url, &[&somebody]);
            let delivery =
                fails(&notifier(Channel { tls_ca: authority, ..channel(Way::Email(email)) }, &clock), &clock).await;
            let error = &delivery.undelivered[0].error;
            assert_eq!(error.kind(), ErrorKind::ConnectionFailed, "{error:?}");
            assert!(error.context("hint").is_some_and(|hint| hint.contains("tls_ca")), "{error:?}");
        }
    }
    assert_eq!(server.mails_to(&somebody).len(), 0);
}

async fn refused_recipient(server: Smtp) {
    let clock = clock();
    let (one, two, nobody) = (Smtp::somebody("ops"), Smtp::somebody("admin"), Smtp::somebody("nobody"));
    let notifier = notifier(by(&server, server.mail(&server.tls, &[&one, &nobody, &two])), &clock);
    let delivery = fails(&notifier, &clock).await;
    assert_eq!((delivery.delivered, delivery.next), (1, None), "{delivery:?}");
    let [remark] = &delivery.remarks[..] else { panic!("{delivery:?}") };
    assert!(remark.contains(&nobody) && remark.contains("550"), "{remark}");
    assert_eq!((server.mails_to(&one).len(), server.mails_to(&two).len()), (1, 1));

    let all_refused = server.mail(&server.tls, &[&Smtp::somebody("nobody"), &Smtp::somebody("nobody")]);
    let delivery = fails(&crate::http::notifier(by(&server, all_refused), &clock), &clock).await;
    assert_eq!((delivery.delivered, delivery.undelivered[0].error.retry()), (0, Retry::Never), "{delivery:?}");
}

/// Hands connections on to a server, once there is one.
fn hand_on(listener: TcpListener, to: SocketAddr) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(to) else { continue };
            let pump = |mut from: TcpStream, mut to: TcpStream| {
                std::thread::spawn(move || {
                    let mut some = [0; 4096];
                    while let Ok(read @ 1..) = from.read(&mut some) {
                        if to.write_all(&some[..read]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Write);
                });
            };
            pump(stream.try_clone().unwrap(), server.try_clone().unwrap());
            pump(server, stream);
        }
    });
}

async fn busy_and_down(server: Smtp) {
    let clock = clock();
    let busy = server.mail(&server.tls, &[&Smtp::somebody("busy")]);
    let notifier = notifier(by(&server, busy), &clock);
    let delivery = fails(&notifier, &clock).await;
    assert_eq!(delivery.undelivered[0].error.retry(), Retry::Later, "{delivery:?}");
    assert_eq!(delivery.undelivered[0].error.context("status"), Some("451"));

    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let somebody = Smtp::somebody("ops");
    let email = Email { login: None, password: None, ..server.mail(&format!("smtp://{port}"), &[&somebody]) };
    let notifier = crate::http::notifier(by(&server, email), &clock);
    let delivery = fails(&notifier, &clock).await;
    let error = &delivery.undelivered[0].error;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::ConnectionFailed, Retry::Later), "{error:?}");
    clock.set(delivery.next.unwrap());
    let delivery = notifier.deliver().await;
    assert_eq!(delivery.undelivered.len(), 1);
    let real = server.plain.strip_prefix("smtp://").unwrap().parse().unwrap();
    hand_on(TcpListener::bind(port).unwrap(), real);
    clock.set(delivery.next.unwrap());
    assert_eq!(notifier.deliver().await.delivered, 1);
    assert_eq!(notifier.deliver().await.next, None);
    assert_eq!(server.mails_to(&somebody).len(), 1);
}

async fn slow(server: Smtp) {
    let clock = clock();
    let email = Email { login: None, password: None, ..server.mail(&server.plain, &[&Smtp::somebody("slow")]) };
    let notifier = notifier(Channel { timeout: Duration::from_millis(500), ..by(&server, email) }, &clock);
    let delivery = fails(&notifier, &clock).await;
    let error = &delivery.undelivered[0].error;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Later), "{error:?}");
}

async fn https(server: Smtp) {
    let beside = |name: &str| std::fs::read(server.ca.with_file_name(name)).unwrap();
    let receiver = Receiver::with_tls(&beside("server.pem"), &beside("server.key"));
    let clock = clock();
    let webhook = Secret::new(format!("https://localhost:{}/hushhushhush", receiver.address.port()));
    let way = || channel(Way::Slack(Slack { webhook: webhook.clone() }));
    for authority in [None, Some(server.wrong_ca.clone())] {
        let delivery = fails(&notifier(Channel { tls_ca: authority, ..way() }, &clock), &clock).await;
        let error = &delivery.undelivered[0].error;
        assert!(error.context("hint").is_some_and(|hint| hint.contains("tls_ca")), "{error:?}");
        assert!(!format!("{error:?}").contains("hushhushhush"), "{error:?}");
    }
    let delivery = fails(&notifier(Channel { tls_ca: Some(server.ca.clone()), ..way() }, &clock), &clock).await;
    assert_eq!(delivery.delivered, 1, "{delivery:?}");
    assert_eq!(receiver.requests().len(), 1);
}

async fn refused_settings() {
    let email = |smtp: &str| Email {
        smtp: smtp.to_owned(),
        login: None,
        password: None,
        plain_login: false,
        from: "kronos@x.example".to_owned(),
        to: vec!["ops@x.example".to_owned()],
    };
    let good = || email("smtps://mail.example");
    let password = Some(Secret::new("hush-hush"));
    let cases = [
        email("mail.example"),
        email("imap://mail.example"),
        email("smtps://"),
        email("smtps://me:hush-hush@mail.example"),
        email("smtps://mail.example/path"),
        email("smtp://mail.example?tls=required"),
        Email { to: Vec::new(), ..good() },
        Email { to: vec!["nobody".to_owned()], ..good() },
        Email { from: "a b c".to_owned(), ..good() },
        Email { login: Some("me".to_owned()), ..good() },
        Email { password: password.clone(), ..good() },
        Email { login: Some("me".to_owned()), password, ..email("smtp://mail.example") },
    ];
    for email in cases {
        let smtp = email.smtp.clone();
        let error = Channel::new("ops", vec![Way::Email(email)]).check().unwrap_err();
        assert_eq!((error.kind(), error.context("way")), (ErrorKind::Config, Some("email")), "{smtp}: {error}");
        assert!(!format!("{error:?}").contains("hush-hush"), "{error:?}");
    }
    for smtp in ["smtps://mail.example:2465", "smtp+starttls://mail.example", "smtp://[::1]:25", "smtps://10.0.0.1/"] {
        Channel::new("ops", vec![Way::Email(email(smtp))]).check().unwrap_or_else(|error| panic!("{smtp}: {error:?}"));
    }
    // What a name says cannot become a header.
    let clock = clock();
    let sneaky = Email { from: "a\r\nBcc: x@y.example <a@x.example>".to_owned(), ..good() };
    assert!(Channel::new("ops", vec![Way::Email(sneaky)]).check().is_err());
    let notes = crate::common::Notes::new();
    let store = Arc::new(kronos_service::notify::MemoryNotifyStore::default());
    let notifier = crate::common::notifier(vec![channel(Way::Email(good()))], store, &clock, &notes);
    let report = run("a\r\nBcc: x@y.example", Operation::Backup, Ended::Failed, kronos_core::Clock::now(&*clock));
    notifier.tell(News::Ended(report), &to()).await.unwrap();
    notifier.deliver().await;
    let titles = notes.titles().concat();
    assert!(titles.iter().all(|title| !title.contains(['\r', '\n'])), "{titles:?}");
}
