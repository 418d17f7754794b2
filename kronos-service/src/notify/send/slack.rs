//! Slack: blocks, and a text for programs that show none.

use jiff::tz::TimeZone;
use kronos_core::{Error, ErrorKind, Result};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::http;
use crate::notify::courier::Receipt;
use crate::notify::letter::{Contents, Letter};
use crate::notify::notice::{Notice, cut};
use crate::notify::occasion::Severity;
use crate::notify::render::{facts, footer, subject, zone};
use crate::notify::settings::{Channel, Slack};

/// Slack takes 50 blocks: one each, a heading, one for the rest and one for the end.
const IN_FULL: usize = 15;
/// Slack takes 3000 characters in a block, after escaping.
const BLOCK: usize = 2800;

/// Sends a letter.
pub(in crate::notify) async fn send(channel: &Channel, slack: &Slack, letter: &Letter) -> Result<Receipt> {
    let url = http::url(&slack.webhook)?;
    let body = serde_json::to_vec(&message(letter, &zone(channel)))
        .map_err(|e| Error::new(ErrorKind::Internal, "a message is no JSON").with_source(e))?;
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    http::post(channel, url, headers, body, letter.at).await?;
    Ok(Receipt::default())
}

fn message(letter: &Letter, zone: &TimeZone) -> Value {
    let mut blocks = Vec::new();
    match &letter.contents {
        Contents::Test => blocks.push(section("This is a test: notifications of Kronos arrive here.")),
        Contents::Ping(ping) => blocks.push(section(&escape(&ping.text))),
        Contents::Notices(notices) => {
            blocks.extend(notices.iter().take(IN_FULL).map(|notice| section(&in_full(notice, zone))));
            if notices.len() > IN_FULL {
                let titles = notices[IN_FULL..].iter().map(|notice| format!("• {}", escape(&notice.title)));
                blocks.push(section(&titles.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    let end = escape(&footer(letter).join(" · "));
    blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": end }] }));
    json!({ "text": escape(&subject(letter)), "blocks": blocks })
}

fn in_full(notice: &Notice, zone: &TimeZone) -> String {
    let sign = match notice.severity {
        Severity::Info => ":white_check_mark:",
        Severity::Warning => ":warning:",
        Severity::Error => ":x:",
        Severity::Critical => ":rotating_light:",
    };
    let mut text = format!("{sign} *{}*", escape(&notice.title));
    for (name, said) in facts(notice, zone) {
        text.extend(["\n_", name, "_: ", &escape(&said)]);
    }
    text
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": cut(text, BLOCK) } })
}

/// What Slack would take for its own language.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
