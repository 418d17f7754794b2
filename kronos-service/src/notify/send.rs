//! The ways over the network.

mod http;
pub(super) mod mail;
pub(super) mod ping;
pub(super) mod slack;
mod tls;
pub(super) mod webhook;

use kronos_core::{Error, ErrorKind, Result};

use super::settings::{Channel, Way};

/// Checks all that the ways of a channel need, without a network.
pub(super) fn check(channel: &Channel) -> Result<()> {
    if channel.ways.is_empty() {
        return Err(Error::new(ErrorKind::Config, "a channel for notifications has no way")
            .with("hint", "give it slack, webhook, email or ping"));
    }
    if channel.timeout.is_zero() {
        return Err(Error::new(ErrorKind::Config, "the timeout of a channel is zero"));
    }
    let authorities = tls::authorities(channel)?;
    for way in &channel.ways {
        let checked = match way {
            Way::Slack(slack) => http::url(&slack.webhook).map(drop),
            Way::Webhook(webhook) => http::url(&webhook.url).and_then(|_| webhook::headers(webhook)).map(drop),
            Way::Email(email) => mail::check(email, authorities.as_deref()),
            Way::Ping(ping) => ping::url(&ping.url, None).map(drop),
        };
        checked.map_err(|error| error.with("way", way.name()))?;
    }
    http::client(channel, authorities.as_deref()).map(drop)
}
