//! TLS with a real server, passwords and certificates.

use std::path::PathBuf;

use kronos_connectors::postgres::{Method, PostgresSettings, PostgresSource, TlsMode};
use kronos_core::{Connector, DumpRequest, ErrorKind, RestoreOptions, RunContext, Secret};
use libtest_mimic::Trial;

use crate::server::{Server, back_up, block_on, bring_back, on_each, repository};

pub(crate) fn trials() -> Vec<Trial> {
    [on_each("tls", tls), on_each("logins", logins)].into_iter().flatten().collect()
}

fn settings(server: &Server, database: &str, user: &str, mode: TlsMode, ca: Option<&str>) -> PostgresSettings {
    let mut settings = server.settings([database]);
    settings.host = Some("localhost".to_owned());
    user.clone_into(&mut settings.user);
    settings.tls.mode = mode;
    settings.tls.ca = ca.map(|name| PathBuf::from(server.variable(name)));
    settings
}

/// Users whom the server lets in with TLS only.
fn users(server: &Server) {
    for user in ["tls_only", "certified"] {
        let password = server.password.replace('\'', "''");
        let make = format!("CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{password}'");
        let _ = server.try_sql("postgres", &make);
    }
}

fn tls(server: &Server) {
    users(server);
    let database = server.database("CREATE TABLE t(x int); INSERT INTO t VALUES (1)");
    block_on(async {
        let refused = |settings: PostgresSettings, kind: ErrorKind, what: &'static str| async move {
            let error = back_up(&repository().await, &PostgresSource::new(settings).unwrap()).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{what}: {error:?}");
            assert!(error.context("hint").is_some(), "{what} has no hint: {error:?}");
        };
        let of = |user: &str, mode, ca| settings(server, &database.name, user, mode, ca);
        refused(of("tls_only", TlsMode::Disable, None), ErrorKind::Authentication, "no TLS").await;
        refused(of("tls_only", TlsMode::VerifyFull, None), ErrorKind::ConnectionFailed, "an unknown authority").await;
        refused(of("tls_only", TlsMode::VerifyCa, Some("WRONG_CA")), ErrorKind::ConnectionFailed, "a wrong one").await;
        let mut other = of("tls_only", TlsMode::VerifyFull, Some("CA"));
        other.host = Some("127.0.0.2".to_owned());
        let error =
            PostgresSource::new(other).unwrap().begin_dump(&DumpRequest::default(), &RunContext::new()).await.err();
        assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::ConnectionFailed), "a certificate for another host");

        let mut certified = of("certified", TlsMode::VerifyFull, Some("CA"));
        certified.tls.certificate = Some(server.variable("CERT").into());
        certified.tls.key = Some(server.variable("KEY").into());
        certified.password = None;
        let prefer = of("tls_only", TlsMode::Prefer, None);
        let full = of("tls_only", TlsMode::VerifyFull, Some("CA"));
        for settings in [prefer, full, of("tls_only", TlsMode::Require, None), certified] {
            for method in [Method::Native, Method::Tool] {
                // The programs must come in by the same way.
                let mut settings = settings.clone();
                settings.method = method;
                let repository = repository().await;
                back_up(&repository, &PostgresSource::new(settings.clone()).unwrap()).await.unwrap();
                let target = server.new_name();
                settings.databases = vec![target.name.clone()];
                bring_back(&repository, &PostgresSource::new(settings).unwrap(), &RestoreOptions::new()).await.unwrap();
                assert_eq!(target.sql("SELECT x FROM t"), "1");
            }
        }
    });
}

fn logins(server: &Server) {
    block_on(async {
        let source = |change: fn(&mut PostgresSettings)| {
            let mut settings = server.settings(["postgres"]);
            change(&mut settings);
            PostgresSource::new(settings).unwrap()
        };
        let error = async |source: PostgresSource| source.databases().await.unwrap_err();
        let wrong = error(source(|s| s.password = Some(Secret::new("wr0ng")))).await;
        assert_eq!(wrong.kind(), ErrorKind::Authentication, "{wrong:?}");
        assert!(!format!("{wrong:?}").contains("wr0ng"));
        let nobody = error(source(|s| "nobody at all".clone_into(&mut s.user))).await;
        assert_eq!(nobody.kind(), ErrorKind::Authentication, "{nobody:?}");
        let away = error(source(|s| s.port = 1)).await;
        assert_eq!(away.kind(), ErrorKind::ConnectionFailed, "{away:?}");
        let report = source(|s| s.port = 1).test_connection().await.unwrap();
        assert_eq!(report.status, kronos_core::ConnectionStatus::Disconnected);
        let mut socket = server.settings(["postgres"]);
        socket.host = Some(server.variable("SOCKET"));
        PostgresSource::new(socket).unwrap().databases().await.unwrap();
    });
}
