//! What the configuration says of a channel: where messages go, and of what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use kronos_core::{Result, Secret};

use super::hidden;
use super::occasion::{Occasion, Severity};
use super::quiet::Quiet;
use super::send;

/// One section `[notify.NAME]`: some ways to the same people, who want to hear of the same things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its name, by which jobs choose it.
    pub name: String,
    /// How messages go out; each goes by all of them.
    pub ways: Vec<Way>,
    /// What it is told of; by default [`Occasion::usual`]. Pings do not ask for it.
    pub on: BTreeSet<Occasion>,
    /// When messages are held back; by default never.
    pub quiet: Option<QuietHours>,
    /// After the first failure in a row every such one is told again; 0 never, by default 5.
    pub every_nth: u32,
    /// After a message others wait this long, to become one; by default a minute.
    pub group_within: Duration,
    /// How long a request may take, by default 10 s; a mail six times as long.
    pub timeout: Duration,
    /// Certificates in PEM of authorities that are trusted besides the system's.
    pub tls_ca: Option<PathBuf>,
    /// A proxy for HTTP, as a URL, which may hold a password; by default none.
    pub proxy: Option<Secret>,
}

impl Channel {
    /// A channel with the defaults.
    pub fn new(name: impl Into<String>, ways: Vec<Way>) -> Self {
        Self {
            name: name.into(),
            ways,
            on: Occasion::usual(),
            quiet: None,
            every_nth: 5,
            group_within: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
            tls_ca: None,
            proxy: None,
        }
    }

    /// Checks all that can be checked without a network: addresses, times, time zone, certificates. The
    /// error names the setting.
    pub fn check(&self) -> Result<()> {
        self.quiet()?;
        send::check(self).map_err(|error| error.with("channel", &self.name))
    }

    pub(super) fn quiet(&self) -> Result<Option<Quiet>> {
        let quiet = self.quiet.as_ref().map(Quiet::new).transpose();
        quiet.map_err(|error| error.with("channel", &self.name))
    }

    /// All of it that must never be shown.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let mut secrets: Vec<Secret> = self.proxy.iter().cloned().collect();
        for way in &self.ways {
            match way {
                Way::Slack(slack) => secrets.push(slack.webhook.clone()),
                Way::Webhook(webhook) => {
                    secrets.push(webhook.url.clone());
                    secrets.extend(webhook.signing_key.iter().cloned());
                    secrets.extend(webhook.headers.values().cloned());
                }
                Way::Email(email) => secrets.extend(email.secrets()),
                Way::Ping(ping) => secrets.push(ping.url.clone()),
            }
        }
        secrets
    }
}

/// How messages go out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// An incoming webhook of Slack, or of what speaks its language (Mattermost, Rocket.Chat).
    Slack(Slack),
    /// JSON by HTTP.
    Webhook(Webhook),
    /// Mail.
    Email(Email),
    /// A dead man's switch, which raises the alarm when it does not hear of a good backup.
    Ping(Ping),
}

impl Way {
    /// The name of its section.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Slack(_) => "slack",
            Self::Webhook(_) => "webhook",
            Self::Email(_) => "email",
            Self::Ping(_) => "ping",
        }
    }
}

/// An incoming webhook of Slack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slack {
    /// Its URL: whoever knows it can write there.
    pub webhook: Secret,
}

/// A receiver of JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where to.
    pub url: Secret,
    /// The key by which the receiver can tell that it was Kronos; without one nothing is signed.
    pub signing_key: Option<Secret>,
    /// Headers that are sent along, such as `authorization`.
    pub headers: BTreeMap<String, Secret>,
}

/// A mail server, and who gets mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// `smtps://host` (TLS, port 465), `smtp+starttls://host` (587) or `smtp://host` (25, readable by
    /// all on the way), each with `:port` where it is another. No login here.
    pub smtp: String,
    /// The name to log in with; without one nobody logs in.
    pub login: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// Log in although everybody on the way can read the password (`smtp://`); by default refused.
    pub plain_login: bool,
    /// The sender, `kronos@example.org` or `Backups <kronos@example.org>`.
    pub from: String,
    /// The recipients, in the same form.
    pub to: Vec<String>,
}

impl Email {
    /// The password, also in the forms that a server may repeat from a login.
    fn secrets(&self) -> Vec<Secret> {
        let Some(password) = &self.password else { return Vec::new() };
        let login = self.login.as_deref().unwrap_or_default();
        let mut secrets = vec![password.clone()];
        secrets.extend(hidden::logins(login, password.expose()));
        secrets
    }
}

/// A dead man's switch in the manner of healthchecks: `URL/start`, `URL`, `URL/fail`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// Its URL, without `/start` or `/fail`.
    pub url: Secret,
}

/// The hours in which messages are held back; they go out as one at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietHours {
    /// When they begin, such as `22:00`.
    pub from: String,
    /// When they end; before `from` it is on the next day.
    pub to: String,
    /// The name of the time zone, such as `Europe/Berlin`; times in messages are shown in it too.
    pub timezone: String,
    /// What is at least as grave goes out all the same; by default nothing.
    pub except: Option<Severity>,
}
