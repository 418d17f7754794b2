//! Sizes and times as people read them.

use std::time::Duration;

/// A size with three digits and a binary unit.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (n as f64, 0);
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A time span in its two largest units.
pub fn duration(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0 => format!("{} ms", d.as_millis()),
        1..60 => format!("{s} s"),
        60..3600 => two(s / 60, "min", s % 60, "s"),
        3600..86_400 => two(s / 3600, "h", s % 3600 / 60, "min"),
        _ => two(s / 86_400, "d", s % 86_400 / 3600, "h"),
    }
}

fn two(large: u64, unit: &str, small: u64, smaller: &str) -> String {
    if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {smaller}") }
}

/// A count with its noun: `1 run`, `2 runs`.
pub fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_times_and_counts() {
        assert_eq!((bytes(1023), bytes(1536), bytes(1 << 30)), ("1023 B".into(), "1.5 KiB".into(), "1.0 GiB".into()));
        let seconds = |s| duration(Duration::from_secs(s));
        assert_eq!((seconds(59), seconds(60), seconds(61)), ("59 s".into(), "1 min".into(), "1 min 1 s".into()));
        assert_eq!((seconds(7260), seconds(90_000)), ("2 h 1 min".into(), "1 d 1 h".into()));
        assert_eq!((count(1, "run"), count(0, "run")), ("1 run".into(), "0 runs".into()));
    }
}
