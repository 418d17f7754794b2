//! The mail server, as `scripts/servers` names it in the environment, and tests that are ignored, with the
//! reason, where there is none.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use kronos_core::Secret;
use kronos_service::notify::Email;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::block_on;

/// The mail server.
#[derive(Debug, Clone)]
pub struct Smtp {
    pub plain: String,
    pub starttls: String,
    pub tls: String,
    pub login: String,
    pub user: String,
    pub password: String,
    pub ca: PathBuf,
    pub wrong_ca: PathBuf,
    mails: PathBuf,
}

fn variable(name: &str) -> Result<String, String> {
    let name = format!("KRONOS_TEST_SMTP_{name}");
    std::env::var(&name).map_err(|_| format!("{name} is not set: scripts/servers"))
}

impl Smtp {
    fn find() -> Result<Self, String> {
        Ok(Self {
            plain: variable("URL")?,
            starttls: variable("STARTTLS_URL")?,
            tls: variable("TLS_URL")?,
            login: variable("LOGIN_URL")?,
            user: variable("USER")?,
            password: variable("PASSWORD")?,
            ca: variable("CA")?.into(),
            wrong_ca: variable("WRONG_CA")?.into(),
            mails: variable("MAILS")?.into(),
        })
    }

    /// A test on it.
    pub fn on<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Self) -> F + Send + 'static) -> Trial {
        let required = std::env::var("KRONOS_TEST_REQUIRE").unwrap_or_default();
        let is_required = required.split([',', ' ']).any(|name| name == "smtp" || name == "all");
        let name = format!("smtp::{name}");
        match Self::find() {
            Ok(server) => Trial::test(name, move || {
                block_on(test(server));
                Ok(())
            }),
            Err(reason) if is_required => Trial::test(name, move || Err(Failed::from(reason))),
            Err(reason) => Trial::test(format!("{name} ({reason})"), || Ok(())).with_ignored_flag(true),
        }
    }

    /// An address that nobody else writes to, with this name.
    pub fn somebody(name: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
        format!("{name}@t{now}-{}-{}.example", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// Mail by this URL, with the login.
    pub fn mail(&self, url: &str, to: &[&str]) -> Email {
        Email {
            smtp: url.to_owned(),
            login: Some(self.user.clone()),
            password: Some(Secret::new(&self.password)),
            plain_login: false,
            from: "Kronos Läden <kronos@backups.example>".to_owned(),
            to: to.iter().map(|to| (*to).to_owned()).collect(),
        }
    }

    /// The mails that an address has got, oldest first.
    pub fn mails_to(&self, address: &str) -> Vec<Value> {
        let mut mails = Vec::new();
        for entry in std::fs::read_dir(&self.mails).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.extension().is_some_and(|extension| extension == "json") {
                let number: u32 = entry.file_stem().unwrap().to_str().unwrap().parse().unwrap();
                let mail: Value = serde_json::from_slice(&std::fs::read(entry).unwrap()).unwrap();
                if mail["to"].as_array().unwrap().iter().any(|to| to == address) {
                    mails.push((number, mail));
                }
            }
        }
        mails.sort_by_key(|(number, _)| *number);
        mails.into_iter().map(|(_, mail)| mail).collect()
    }
}
