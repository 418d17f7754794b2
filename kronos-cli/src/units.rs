//! Sizes, times and shares: how people write them, and how they are shown.

use std::time::Duration;

use kronos_core::Timestamp;
pub(crate) use kronos_service::words::{bytes, count};

/// A time span in its two largest units.
pub(crate) fn duration(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0 => format!("{} ms", d.as_millis()),
        1..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

/// A point in time, to the second.
pub(crate) fn time(t: Timestamp) -> String {
    let text = t.to_string();
    match text.get(..19) {
        Some(seconds) => format!("{}Z", seconds.replace('T', " ")),
        None => text,
    }
}

/// Reads `90s`, `15m`, `48h`, `7d`, `2w`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let seconds = match text[digits.len()..].trim() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        "" if digits == "0" => 1,
        _ => return Err("write a number and s, m, h, d or w, such as 48h".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "write a number and s, m, h, d or w, such as 48h".to_owned())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "that is too long".to_owned())
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
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert!(parse_duration("48").is_err() && parse_duration("h").is_err() && parse_duration("é").is_err());
        assert_eq!(parse_share("10%"), Ok(0.1));
        assert!(parse_share("0").is_err() && parse_share("200%").is_err() && parse_share("NaN").is_err());
        assert_eq!(parse_tag("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
    }

    #[test]
    fn what_people_read_is_short() {
        assert_eq!((bytes(1023), bytes(1536), bytes(1 << 30)), ("1023 B".into(), "1.5 KiB".into(), "1.0 GiB".into()));
        assert_eq!(duration(Duration::from_secs(3_700)), "1 h 1 min");
        assert_eq!(time(Timestamp::from_micros(1_500_000)), "1970-01-01 00:00:01Z");
    }
}
