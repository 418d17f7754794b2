//! The options of a storage, taken one by one; what is left over in the end is an error.

use std::collections::BTreeMap;

use kronos_core::{Error, ErrorKind, Result, StorageSettings, nearest};

use crate::Environment;

/// The options of one storage.
pub(crate) struct Options<'a> {
    left: BTreeMap<String, String>,
    #[cfg_attr(not(feature = "cloud"), allow(dead_code, reason = "only clouds have variables"))]
    pub(crate) environment: &'a Environment,
    asked: Vec<&'static str>,
}

impl<'a> Options<'a> {
    pub(crate) fn new(settings: &StorageSettings, environment: &'a Environment) -> Self {
        Self { left: settings.options.clone(), environment, asked: Vec::new() }
    }

    /// The text of an option.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.asked.push(name);
        self.left.remove(name)
    }

    /// Bytes a second, as `50MB/s`.
    fn rate(&mut self, name: &'static str) -> Result<Option<u64>> {
        self.text(name)
            .map(|text| rate(&text).ok_or_else(|| bad(name, &text).with("hint", "write 50MB/s or 800KiB/s")))
            .transpose()
    }

    /// The limits of how fast bytes may go up and down.
    pub(crate) fn pace(&mut self) -> Result<(Option<u64>, Option<u64>)> {
        Ok((self.rate("upload_limit")?, self.rate("download_limit")?))
    }

    /// Refuses what nobody asked for.
    pub(crate) fn finish(self) -> Result<()> {
        let Some(unknown) = self.left.keys().next() else { return Ok(()) };
        let error = Error::new(ErrorKind::Config, "this kind of storage has no such option").with("option", unknown);
        Err(match nearest(unknown, self.asked.iter().copied()) {
            Some(near) => error.with("did you mean", near),
            None => error.with("known", self.asked.join(" ")),
        })
    }
}

/// An error about an option's value. Never of a secret one.
pub(crate) fn bad(name: &'static str, value: &str) -> Error {
    Error::new(ErrorKind::Config, "an option's value cannot be used").with("option", name).with("value", value)
}

pub(crate) fn split_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    (number.is_finite() && number > 0.0).then(|| (number, text[end..].trim()))
}

/// Bytes a second: `50MB/s`, `1.5MiB/s`, `800KB`.
pub(crate) fn rate(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let unit = unit.strip_suffix("/s").unwrap_or(unit);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1_048_576.0,
        "g" | "gib" => 1_073_741_824.0,
        _ => return None,
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is positive, and what is too large is cut off"
    )]
    let rate = (number * unit) as u64;
    (rate > 0).then_some(rate)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn rates() {
        assert_eq!(rate("50MB/s"), Some(50_000_000));
        assert_eq!(rate("1.5 MiB/s"), Some(1_572_864));
        assert_eq!(rate("800KB"), Some(800_000));
        assert_eq!((rate("fast"), rate("0"), rate("-1"), rate("1 parsec")), (None, None, None, None));
    }

    #[test]
    fn what_nobody_asked_for_is_an_error_with_the_nearest_name() {
        let none: Environment = Arc::new(|_| None);
        let options = [("regoin".to_owned(), "eu".to_owned())];
        let settings = StorageSettings { location: "b".to_owned(), options: options.into_iter().collect() };
        let mut options = Options::new(&settings, &none);
        assert_eq!(options.text("region"), None);
        assert_eq!(options.finish().unwrap_err().context("did you mean"), Some("region"));
    }
}
