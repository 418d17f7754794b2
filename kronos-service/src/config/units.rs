//! Times and sizes as people write them.

use std::time::Duration;

/// `90s`, `48h`, `7d`, `1h30m`; days have 24 hours, weeks 7 days.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut whole = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, unit, after) = number_and_unit(rest)?;
        let one = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" | "min" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            "d" => Duration::from_hours(24),
            "w" => Duration::from_hours(7 * 24),
            _ => return None,
        };
        whole = whole.checked_add(one.checked_mul(u32::try_from(number).ok()?)?)?;
        rest = after;
    }
    Some(whole)
}

/// `256MiB`, `50MB`, `1024`; `K`, `M`, `G`, `T` alone are multiples of 1024, as tools have it.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let number: u64 = digits.parse().ok()?;
    let unit: u64 = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// `50MB/s`: a size a second.
pub(super) fn rate(text: &str) -> Option<u64> {
    size(text.trim().strip_suffix("/s")?).filter(|rate| *rate > 0)
}

fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at(digits);
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    Some((number.parse().ok()?, unit, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        assert_eq!(duration("7d"), Some(Duration::from_hours(168)));
        assert_eq!(duration("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(duration("1h 30m"), Some(Duration::from_mins(90)));
        assert_eq!(duration("100ms"), Some(Duration::from_millis(100)));
        for bad in ["", "7", "d", "7y", "-1d", "1.5h", "7 d", "99999999999w"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert_eq!(size("256MiB"), Some(256 << 20));
        assert_eq!((size("50 MB"), size("1024"), size("2g")), (Some(50_000_000), Some(1024), Some(2 << 30)));
        assert_eq!((rate("50MB/s"), rate("1 KiB/s")), (Some(50_000_000), Some(1024)));
        assert_eq!((rate("50MB"), rate("0/s"), rate("/s")), (None, None, None));
        for bad in ["", "MiB", "1.5GB", "-1", "5 parsecs", "99999999TiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
