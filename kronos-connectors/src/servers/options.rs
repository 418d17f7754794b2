//! Options of sources as users write them, as far as every database server has such.

use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result, nearest};

pub(crate) fn choice<T: Copy>(option: &'static str, text: &str, known: &[(&'static str, T)]) -> Result<T> {
    match known.iter().find(|(name, _)| *name == text) {
        Some((_, value)) => Ok(*value),
        None => Err(one_of(option, text, known.iter().map(|(name, _)| *name))),
    }
}

pub(crate) fn switch(option: &'static str, text: &str) -> Result<bool> {
    match text {
        "on" | "true" | "yes" => Ok(true),
        "off" | "false" | "no" => Ok(false),
        _ => Err(one_of(option, text, ["on", "off"])),
    }
}

pub(crate) fn seconds(option: &'static str, text: &str) -> Result<Duration> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<u64>().ok().filter(|n| (1..=86_400).contains(n));
    let wrong = || config("not a number of seconds up to a day").with("option", option).with("value", text);
    number.map(Duration::from_secs).ok_or_else(wrong)
}

pub(crate) fn port(text: &str) -> Result<u16> {
    let wrong = || config("not a port").with("option", "port").with("value", text);
    text.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)
}

pub(crate) fn one_of<'a>(option: &'static str, value: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
    let known: Vec<&str> = known.into_iter().collect();
    let error = config("an option has a value that is not known").with("option", option).with("value", value);
    match nearest(value, known.iter().copied()) {
        Some(near) => error.with("did you mean", near),
        None => error.with("known", known.join(" ")),
    }
}

pub(crate) fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}
