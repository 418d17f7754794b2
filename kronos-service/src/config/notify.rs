//! `[notify.*]`: who hears of runs, and how.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use kronos_core::Result;

use super::Environment;
use super::schema::{Key, Kind, Table};
use super::secrets::SecretFrom;
use super::section::Section;
use crate::notify::{Channel, Email, Ping, QuietHours, Severity, Slack, Way, Webhook};

const OCCASIONS: &[&str] = &[
    "failure",
    "recovered",
    "missed",
    "verified",
    "storage-down",
    "storage-recovered",
    "capture-gap",
    "warning",
    "success",
];
const SEVERITIES: &[&str] = &["info", "warning", "error", "critical"];

static SLACK: Table = Table::new(
    "An incoming webhook of Slack, or of what speaks its language.",
    &[Key::new("webhook", Kind::Secret, "Its URL.").example("\"SLACK_WEBHOOK\"")],
);

static WEBHOOK: Table = Table::new(
    "JSON by HTTP.",
    &[
        Key::new("url", Kind::Secret, "Where to.").example("\"ALARM_URL\""),
        Key::new("signing_key", Kind::Secret, "The key by which the receiver can tell that it was Kronos.")
            .otherwise("nothing is signed")
            .example("\"ALARM_KEY\""),
        Key::new("headers", Kind::Settings { secret: true }, "Headers that are sent along.")
            .example("{ authorization = \"Bearer ${ALARM_TOKEN}\" }"),
    ],
);

static EMAIL: Table = Table::new(
    "Mail.",
    &[
        Key::new("smtp", Kind::Text, "The mail server: `smtps://` (TLS), `smtp+starttls://` or `smtp://` (plain).")
            .example("\"smtps://mail.internal\""),
        Key::new("login", Kind::Text, "The name to log in with.").otherwise("no login").example("\"kronos\""),
        Key::new("password", Kind::Secret, "Its password.").example("\"SMTP_PASSWORD\""),
        Key::new("plain_login", Kind::Flag, "Log in by `smtp://`, although all on the way can read the password.")
            .default("false"),
        Key::new("from", Kind::Text, "The sender.").example("\"Kronos <kronos@example.com>\""),
        Key::new("to", Kind::Texts, "The recipients.").example("[\"ops@example.com\"]"),
    ],
);

static PING: Table = Table::new(
    "A dead man's switch, which raises the alarm when it does not hear of a good backup.",
    &[Key::new("url", Kind::Secret, "Its URL.").example("\"HEALTHCHECK_URL\"")],
);

static QUIET: Table = Table::new(
    "Hours in which messages are held back. They go out as one at the end.",
    &[
        Key::new("from", Kind::Text, "When they begin.").example("\"22:00\""),
        Key::new("to", Kind::Text, "When they end; before `from` is on the next day.").example("\"07:00\""),
        Key::new("timezone", Kind::Text, "Their time zone.").default("\"UTC\""),
        Key::new("except", Kind::Choice(SEVERITIES), "What is at least as grave goes out all the same.")
            .otherwise("nothing")
            .example("\"critical\""),
    ],
);

pub(super) static TABLE: Table = Table::new(
    "Who hears of runs, and how: by one or more of `slack`, `webhook`, `email`, `ping`.",
    &[
        Key::new("on", Kind::Choices(OCCASIONS), "What they hear of.")
            .otherwise("all but `verified` and `success`")
            .example("[\"failure\", \"recovered\", \"missed\"]"),
        Key::new(
            "every_nth",
            Kind::Integer { least: 0, most: 1_000_000 },
            "After the first failure in a row every such one is told; 0 is none.",
        )
        .default("5"),
        Key::new("group_within", Kind::Duration, "After a message others wait this long, to become one.")
            .default("\"1m\""),
        Key::new("timeout", Kind::Duration, "How long a request may take; a mail six times as long.")
            .default("\"10s\""),
        Key::new("tls_ca", Kind::Text, "File with certificates that are trusted beside the system's.")
            .example("\"/etc/kronos/mail-ca.pem\""),
        Key::new("proxy", Kind::Secret, "A proxy for HTTP, as a URL.").otherwise("none").example("\"PROXY_URL\""),
        Key::new("slack", Kind::Table(&SLACK), SLACK.doc),
        Key::new("webhook", Kind::Table(&WEBHOOK), WEBHOOK.doc),
        Key::new("email", Kind::Table(&EMAIL), EMAIL.doc),
        Key::new("ping", Kind::Table(&PING), PING.doc),
        Key::new("quiet", Kind::Table(&QUIET), QUIET.doc).otherwise("never"),
    ],
);

/// One section `[notify.NAME]`, with secrets that are still to be got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// How messages go out; each goes by all of them.
    pub ways: Vec<NotifyWay>,
    /// The names of what it is told of; `None` is the usual.
    pub on: Option<Vec<String>>,
    /// When messages are held back.
    pub quiet: Option<Quiet>,
    /// After the first failure in a row every such one is told again; 0 never.
    pub every_nth: Option<u32>,
    /// After a message others wait this long, to become one.
    pub group_within: Option<Duration>,
    /// How long a request may take.
    pub timeout: Option<Duration>,
    /// Certificates of authorities that are trusted besides the system's.
    pub tls_ca: Option<PathBuf>,
    /// A proxy for HTTP, as a URL.
    pub proxy: Option<SecretFrom>,
}

/// How messages go out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotifyWay {
    /// An incoming webhook of Slack.
    Slack {
        /// Its URL.
        webhook: SecretFrom,
    },
    /// JSON by HTTP.
    Webhook {
        /// Where to.
        url: SecretFrom,
        /// What messages are signed with.
        signing_key: Option<SecretFrom>,
        /// Headers that are sent along.
        headers: BTreeMap<String, kronos_core::Secret>,
    },
    /// Mail.
    Email {
        /// The mail server.
        smtp: String,
        /// The name to log in with.
        login: Option<String>,
        /// Its password.
        password: Option<SecretFrom>,
        /// Log in although the connection is not secured.
        plain_login: bool,
        /// The sender.
        from: String,
        /// The recipients.
        to: Vec<String>,
    },
    /// A dead man's switch.
    Ping {
        /// Its URL.
        url: SecretFrom,
    },
}

/// The hours in which messages are held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quiet {
    /// When they begin, such as `22:00`.
    pub from: String,
    /// When they end.
    pub to: String,
    /// The name of the time zone.
    pub timezone: String,
    /// The name of the severity from which on messages go out all the same.
    pub except: Option<String>,
}

impl Notify {
    pub(super) fn from_section(section: &Section<'_>) -> Self {
        let given = ["slack", "webhook", "email", "ping"].into_iter().filter(|way| section.find(way).is_some());
        let given: Vec<&str> = given.collect();
        if given.is_empty() {
            let error = section.wrong("nobody would hear of anything");
            section.tell(error.with("hint", "add one of slack, webhook, email, ping"));
        }
        Self {
            ways: given.iter().filter_map(|kind| way(&section.section(kind)?, kind)).collect(),
            on: section.texts("on"),
            quiet: section.section("quiet").and_then(|quiet| {
                let (from, to) = (quiet.required("from"), quiet.required("to"));
                let timezone = quiet.text("timezone").unwrap_or_else(|| super::schedule::UTC.to_owned());
                Some(Quiet { from: from?, to: to?, timezone, except: quiet.text("except") })
            }),
            every_nth: section.number("every_nth"),
            group_within: section.duration("group_within"),
            timeout: section.duration("timeout"),
            tls_ca: section.text("tls_ca").map(PathBuf::from),
            proxy: SecretFrom::from_section(section, "proxy"),
        }
    }
}

impl Notify {
    /// The channel of that name, with its secrets read. Blocks while it reads files or waits for programs.
    pub fn channel(&self, name: &str, environment: Environment<'_>) -> Result<Channel> {
        let ways = self.ways.iter().map(|way| way.read(environment)).collect::<Result<_>>();
        let mut channel = Channel::new(name, ways.map_err(|e| e.with("notify", name))?);
        if let Some(on) = &self.on {
            channel.on = on.iter().map(|name| name.parse()).collect::<Result<_>>()?;
        }
        channel.quiet = self.quiet.as_ref().map(Quiet::hours).transpose()?;
        channel.every_nth = self.every_nth.unwrap_or(channel.every_nth);
        channel.group_within = self.group_within.unwrap_or(channel.group_within);
        channel.timeout = self.timeout.unwrap_or(channel.timeout);
        channel.tls_ca.clone_from(&self.tls_ca);
        channel.proxy = self.proxy.as_ref().map(|proxy| proxy.read(environment)).transpose()?;
        Ok(channel)
    }
}

impl Quiet {
    fn hours(&self) -> Result<QuietHours> {
        let (from, to, timezone) = (self.from.clone(), self.to.clone(), self.timezone.clone());
        let except = self.except.as_deref().map(str::parse::<Severity>).transpose()?;
        Ok(QuietHours { from, to, timezone, except })
    }
}

impl NotifyWay {
    fn read(&self, environment: Environment<'_>) -> Result<Way> {
        let read = |from: &SecretFrom| from.read(environment);
        Ok(match self {
            Self::Slack { webhook } => Way::Slack(Slack { webhook: read(webhook)? }),
            Self::Webhook { url, signing_key, headers } => Way::Webhook(Webhook {
                url: read(url)?,
                signing_key: signing_key.as_ref().map(read).transpose()?,
                headers: headers.clone(),
            }),
            Self::Email { smtp, login, password, plain_login, from, to } => Way::Email(Email {
                smtp: smtp.clone(),
                login: login.clone(),
                password: password.as_ref().map(read).transpose()?,
                plain_login: *plain_login,
                from: from.clone(),
                to: to.clone(),
            }),
            Self::Ping { url } => Way::Ping(Ping { url: read(url)? }),
        })
    }
}

fn way(section: &Section<'_>, kind: &str) -> Option<NotifyWay> {
    match kind {
        "slack" => Some(NotifyWay::Slack { webhook: secret(section, "webhook")? }),
        "webhook" => Some(NotifyWay::Webhook {
            url: secret(section, "url")?,
            signing_key: SecretFrom::from_section(section, "signing_key"),
            headers: section
                .settings("headers")
                .into_iter()
                .map(|(name, value)| (name, kronos_core::Secret::new(value)))
                .collect(),
        }),
        "email" => {
            let (smtp, from) = (section.required("smtp"), section.required("from"));
            let to = section.texts("to").unwrap_or_default();
            if to.is_empty() {
                section.tell(section.wrong("a key is missing").with("missing", "to"));
            }
            Some(NotifyWay::Email {
                smtp: smtp?,
                login: section.text("login"),
                password: SecretFrom::from_section(section, "password"),
                plain_login: section.flag("plain_login").unwrap_or(false),
                from: from?,
                to,
            })
        }
        _ => Some(NotifyWay::Ping { url: secret(section, "url")? }),
    }
}

/// A secret without which the section is nothing.
fn secret(section: &Section<'_>, name: &str) -> Option<SecretFrom> {
    let found = SecretFrom::from_section(section, name);
    let is_there =
        super::schema::SECRET_ENDINGS.iter().any(|ending| section.find(&format!("{name}{ending}")).is_some());
    if !is_there {
        section.tell(section.wrong("a key is missing").with("missing", name));
    }
    found
}
