//! Sizes, times and shares: how people write them, and how they are shown.

use std::time::Duration;

use kronos_core::Timestamp;
pub(crate) use kronos_service::words::{bytes, count, duration};

/// A point in time, to the second.
pub(crate) fn time(t: Timestamp) -> String {
    let text = t.to_string();
    match text.get(..19) {
        Some(seconds) => format!("{}Z", seconds.replace('T', " ")),
        None => text,
    }
}

/// Reads `90s`, `15m`, `1h30m`, `7d`, `2w`, and `0`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let none = (text.trim() == "0").then_some(Duration::ZERO);
    none.or_else(|| kronos_service::parse_duration(text))
        .ok_or_else(|| "write numbers and s, m, h, d or w, such as 48h or 1h30m".to_owned())
}

/// Reads a duration in which something can happen.
pub(crate) fn parse_patience(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("in no time nothing is done: write such as 30s".to_owned()),
        duration => Ok(duration),
    }
}

/// Reads `10%` or `0.1` as a share from 0 to 1.
pub(crate) fn parse_share(text: &str) -> Result<f64, String> {
    let share = match text.trim().strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|p| p / 100.0),
        None => text.trim().parse::<f64>(),
    };
    match share {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("write a share such as 10%".to_owned()),
    }
}

/// Reads `KEY=VALUE`.
pub(crate) fn parse_tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read() {
        assert_eq!(parse_duration("48h"), Ok(Duration::from_hours(48)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert!(parse_duration("48").is_err() && parse_duration("h").is_err() && parse_duration("é").is_err());
        assert_eq!(parse_share("10%"), Ok(0.1));
        assert!(parse_share("0").is_err() && parse_share("200%").is_err() && parse_share("NaN").is_err());
        assert_eq!(parse_tag("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
    }

    #[test]
    fn what_people_read_is_short() {
        assert_eq!(time(Timestamp::from_micros(1_500_000)), "1970-01-01 00:00:01Z");
    }
}
