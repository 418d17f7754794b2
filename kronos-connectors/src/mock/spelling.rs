//! The settings as users write them: `mock:shop?size=1GB&streams=4&seed=7&change=1%`.

use std::time::Duration;

use kronos_core::{Cutting, Error, ErrorKind, Result, SourceSettings, nearest};

use super::{Fault, MockSettings};

const OPTIONS: [&str; 10] =
    ["seed", "streams", "size", "pages", "change", "version", "pause", "proofs", "fail", "times"];

/// Every kind of error, to find one by its name.
const KINDS: [ErrorKind; 20] = [
    ErrorKind::Config,
    ErrorKind::ConnectionFailed,
    ErrorKind::Authentication,
    ErrorKind::PermissionDenied,
    ErrorKind::Timeout,
    ErrorKind::PoolExhausted,
    ErrorKind::QueryFailed,
    ErrorKind::InvalidQuery,
    ErrorKind::NotFound,
    ErrorKind::AlreadyExists,
    ErrorKind::ToolMissing,
    ErrorKind::ToolFailed,
    ErrorKind::Unsupported,
    ErrorKind::Corrupt,
    ErrorKind::Conflict,
    ErrorKind::Locked,
    ErrorKind::Cancelled,
    ErrorKind::StorageFull,
    ErrorKind::Io,
    ErrorKind::Internal,
];

/// What is to go wrong, and how often.
pub(super) type Planned = Option<(Fault, Option<u32>)>;

/// Reads general settings: `host` or the one database is the name, the rest are options.
pub(super) fn read(settings: &SourceSettings) -> Result<(MockSettings, Planned)> {
    let ((Some(name), []) | (None, [name])) = (&settings.host, settings.databases.as_slice()) else {
        return Err(config("a mock database has one name").with("hint", "write mock:NAME"));
    };
    if settings.port.is_some() || settings.user.is_some() || settings.password.is_some() {
        return Err(config("a mock database has no port, user or password"));
    }
    let mut read = MockSettings::new(name);
    let (mut fault, mut times) = (None, None);
    for (key, value) in &settings.options {
        let wrong = || config("not a value of this option").with("option", key).with("value", value);
        match key.as_str() {
            "seed" => read.seed = value.parse().map_err(|_| wrong())?,
            "streams" => read.streams = value.parse().map_err(|_| wrong())?,
            "size" => read.size = bytes(value).ok_or_else(wrong)?,
            "pages" => read.cutting = Cutting::Pages(value.parse().map_err(|_| wrong())?),
            "change" => read.change = share(value).ok_or_else(wrong)?,
            "version" => read.version = value.parse().map_err(|_| wrong())?,
            "pause" => read.pause = pause(value).ok_or_else(wrong)?,
            "proofs" => read.proofs = value.parse().map_err(|_| wrong())?,
            "fail" => fault = Some(self::fault(value).ok_or_else(wrong)?),
            "times" => times = Some(value.parse().map_err(|_| wrong())?),
            _ => return Err(unknown(key)),
        }
    }
    if read.streams == 0 && !settings.options.contains_key("size") {
        read.size = 0;
    }
    Ok((read, fault.map(|fault| (fault, times))))
}

/// `connect:KIND`, `read:BYTES:KIND`, `stop:BYTES`, `wrong-end`, `cancel:BYTES`, `finish:KIND`,
/// `write:BYTES:KIND`, `place:KIND`.
fn fault(text: &str) -> Option<Fault> {
    let parts: Vec<&str> = text.split(':').collect();
    let kind = |name: &str| KINDS.into_iter().find(|kind| kind.name() == name);
    Some(match parts[..] {
        ["connect", name] => Fault::Connect(kind(name)?),
        ["read", after, name] => Fault::Read { after: bytes(after)?, kind: kind(name)? },
        ["stop", after] => Fault::Stop { after: bytes(after)? },
        ["wrong-end"] => Fault::WrongEnd,
        ["cancel", after] => Fault::Cancel { after: bytes(after)? },
        ["finish", name] => Fault::Finish(kind(name)?),
        ["write", after, name] => Fault::Write { after: bytes(after)?, kind: kind(name)? },
        ["place", name] => Fault::Place(kind(name)?),
        _ => return None,
    })
}

/// `300`, `64KiB`, `1GB`.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// `1%`, `0.01`.
fn share(text: &str) -> Option<f64> {
    match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().ok().map(|percent| percent / 100.0),
        None => text.parse().ok(),
    }
}

/// `10ms`, `1s`.
fn pause(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(millis) => millis.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s')?.parse().ok().map(Duration::from_secs),
    }
}

fn unknown(key: &str) -> Error {
    let error = config("unknown option of a mock database").with("option", key);
    match nearest(key, OPTIONS) {
        Some(near) => error.with("did you mean", near),
        None => error,
    }
}

fn config(message: &str) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &[(&str, &str)]) -> Result<(MockSettings, Planned)> {
        let options = options.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        read(&SourceSettings { host: Some("shop".to_owned()), options, ..SourceSettings::default() })
    }

    #[test]
    fn every_option() {
        let (read, planned) = parsed(&[
            ("size", "1GB"),
            ("streams", "4"),
            ("seed", "7"),
            ("change", "2.5%"),
            ("pages", "8192"),
            ("version", "3"),
            ("pause", "10ms"),
            ("proofs", "true"),
            ("fail", "read:64KiB:timeout"),
            ("times", "2"),
        ])
        .unwrap();
        let expected = MockSettings::new("shop").with_size(1_000_000_000).with_streams(4).with_seed(7).with_proofs();
        let expected = expected.with_change(0.025).with_pages(8192).with_pause(Duration::from_millis(10));
        assert_eq!(read, MockSettings { version: 3, ..expected });
        assert_eq!(planned, Some((Fault::Read { after: 64 << 10, kind: ErrorKind::Timeout }, Some(2))));
        assert_eq!(parsed(&[("streams", "0")]).unwrap().0, MockSettings::empty("shop"));
    }

    #[test]
    fn every_fault_has_a_spelling() {
        for text in [
            "connect:authentication",
            "stop:1MB",
            "wrong-end",
            "cancel:0",
            "finish:tool-failed",
            "write:9:io",
            "place:corrupt",
        ] {
            assert!(fault(text).is_some(), "{text}");
        }
        for kind in KINDS {
            assert_eq!(fault(&format!("connect:{}", kind.name())), Some(Fault::Connect(kind)));
        }
        for text in ["", "connect", "connect:oops", "read:io", "stop:x", "stop:1PB", "place:io:io"] {
            assert_eq!(fault(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for options in [[("size", "lots")], [("seed", "-1")], [("fail", "never")], [("pause", "1h")]] {
            assert_eq!(parsed(&options).unwrap_err().kind(), ErrorKind::Config, "{options:?}");
        }
        assert_eq!(parsed(&[("stream", "1")]).unwrap_err().context("did you mean"), Some("streams"));
    }
}
