//! What is to be hidden of a secret: itself, the parts of it that tell it, and other forms of both.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kronos_core::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Shorter ones stand in every text.
const SHORTEST: usize = 4;

/// A part of a path that looks like a token has at least so many bytes: `v1` and `T01` are none.
const SHORTEST_TOKEN: usize = 6;

/// A part of a path of this length is no ordinary word, however it looks.
const LONG: usize = 12;

/// Words of every message. They tell nothing, and a message without them is hard to read.
const ORDINARY: [&str; 5] = ["kronos", "backup", "backups", "true", "false"];

/// What programs leave as it is when they write a text into a URL.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The words that texts must not have, of a URL, a header or a key, the longest first.
pub(super) fn words<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Vec<Secret> {
    let mut words = BTreeSet::new();
    for secret in secrets {
        let mut parts = vec![secret.expose().to_owned()];
        match secret.expose().split_once("://") {
            Some((_, rest)) => of_address(rest, &mut parts),
            None => of_value(secret.expose(), &mut parts),
        }
        words.extend(parts.iter().flat_map(|part| forms(part)).filter(|word| word.len() >= SHORTEST));
    }
    let mut words: Vec<_> = words.into_iter().collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words.into_iter().map(Secret::new).collect()
}

/// A login as it goes over the wire: `user:password` in HTTP, `\0user\0password` and the password alone in
/// SMTP.
pub(super) fn logins(user: &str, password: &str) -> [Secret; 3] {
    let basic = format!("{user}:{password}");
    let plain = format!("\0{user}\0{password}");
    [&basic, &plain, password].map(|text| Secret::new(STANDARD.encode(text)))
}

/// The parts of a URL behind its scheme. The host alone is no secret.
fn of_address(rest: &str, parts: &mut Vec<String>) {
    let (authority, place) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if let Some((login, _)) = authority.rsplit_once('@') {
        of_login(login, parts);
    }
    let (path, settings) = place.split_at(place.find(['?', '#']).unwrap_or(place.len()));
    // What is appended to a path comes behind it without a slash.
    parts.extend([place, path].map(|part| part.trim_end_matches('/').to_owned()));
    parts.push(settings.to_owned());
    parts.extend(path.split(['/', ':', ';', '=', '@']).filter(|part| is_token(part)).map(str::to_owned));
    parts.extend(path.split('/').filter(|part| is_token(part)).map(str::to_owned));
    let values = settings.split(['?', '#', '&', ';']).map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
    parts.extend(values.filter(|value| !ORDINARY.contains(value)).map(str::to_owned));
}

fn of_login(login: &str, parts: &mut Vec<String>) {
    if login.is_empty() {
        return;
    }
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    parts.extend([login, password].map(str::to_owned));
    parts.extend(Some(user).filter(|user| !ORDINARY.contains(user)).map(str::to_owned));
    if let (Some(user), Some(password)) = (decoded(user), decoded(password)) {
        parts.extend(logins(&user, &password).iter().map(|login| login.expose().to_owned()));
    }
}

/// The parts of a header such as `Bearer …` or `Basic …`, or of a key.
fn of_value(value: &str, parts: &mut Vec<String>) {
    parts.extend(
        value.split(['/', '?', '&', '=', '@', ':', '#', ' ']).filter(|part| part.len() >= LONG).map(str::to_owned),
    );
    let Some((scheme, credentials)) = value.split_once(' ') else { return };
    parts.push(credentials.trim().to_owned());
    let login = STANDARD.decode(credentials.trim()).ok().and_then(|login| String::from_utf8(login).ok());
    if let Some(login) = login.filter(|_| scheme.eq_ignore_ascii_case("basic")) {
        parts.extend(login.split_once(':').map(|(_, password)| password.to_owned()));
        parts.push(login);
    }
}

/// Words such as `hook`, `services` or `Webhook` are none.
fn is_token(part: &str) -> bool {
    let looks_so = part.bytes().any(|b| b.is_ascii_digit()) || part.bytes().skip(1).any(|b| b.is_ascii_uppercase());
    part.len() >= LONG || (part.len() >= SHORTEST_TOKEN && looks_so)
}

/// As it is written, and with all or none of it escaped as in a URL.
fn forms(part: &str) -> Vec<String> {
    let mut forms = vec![part.to_owned()];
    for plain in [Some(part.to_owned()), decoded(part), decoded(&part.replace('+', " "))].into_iter().flatten() {
        forms.push(utf8_percent_encode(&plain, ESCAPED).to_string());
        forms.push(plain);
    }
    forms
}

fn decoded(part: &str) -> Option<String> {
    percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}
