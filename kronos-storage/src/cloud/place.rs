//! Where in a cloud a storage lies: the bucket and what precedes every name in it.

use kronos_core::{Error, ErrorKind, Key, Result};

/// A bucket or container, and a prefix in it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    pub(crate) prefix: Option<String>,
}

impl Place {
    /// Takes `bucket/prefix` apart.
    pub(crate) fn bucket(location: &str) -> Result<Self> {
        let (bucket, prefix) = location.split_once('/').unwrap_or((location, ""));
        let good = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if bucket.len() < 3 || bucket.len() > 222 || !bucket.chars().all(good) {
            let error = Error::new(ErrorKind::Config, "this cannot be the name of a bucket or container");
            // Someone may have put a login there.
            let shown = bucket.rsplit_once('@').map_or(bucket, |(_, after)| after);
            return Err(error.with("name", shown).with("hint", "write SCHEME://BUCKET/PREFIX?OPTION=VALUE"));
        }
        let prefix = prefix.trim_matches('/');
        let prefix = (!prefix.is_empty()).then(|| prefix.to_owned());
        if let Some(prefix) = &prefix {
            // As for keys: everything else is written differently by different stores.
            Key::new(prefix).map_err(|_| {
                Error::new(ErrorKind::Config, "the prefix may hold letters, digits and . _ - % = between slashes")
                    .with("prefix", prefix)
            })?;
        }
        Ok(Self { bucket: bucket.to_owned(), prefix })
    }

    /// As people read it.
    pub(crate) fn describe(&self, scheme: &str, endpoint: Option<&str>) -> String {
        let prefix = self.prefix.as_ref().map(|prefix| format!("/{prefix}")).unwrap_or_default();
        let endpoint = endpoint.and_then(|endpoint| authority(endpoint).ok());
        let endpoint = endpoint.map(|host| format!(" at {host}")).unwrap_or_default();
        format!("{scheme}://{}{prefix}{endpoint}", self.bucket)
    }
}

/// The host and port of an endpoint, which must be `http://` or `https://`.
pub(crate) fn authority(endpoint: &str) -> Result<String> {
    let uri = endpoint.parse::<http::Uri>().ok();
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    match uri.as_ref().and_then(http::Uri::authority) {
        // A login has no place here; it would be shown.
        Some(authority) if !authority.as_str().contains('@') => {
            let host = authority.as_str().to_ascii_lowercase();
            // As it is when it comes back in a request.
            let usual = if uri.as_ref().is_some_and(|uri| uri.scheme_str() == Some("http")) { ":80" } else { ":443" };
            Ok(host.strip_suffix(usual).unwrap_or(&host).to_owned())
        }
        _ => Err(Error::new(ErrorKind::Config, "an endpoint is an address such as https://s3.example.com:9000")
            .with("option", "endpoint")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_apart_and_shown() {
        let place = Place::bucket("company-backups/kronos/a%20b/").unwrap();
        assert_eq!((place.bucket.as_str(), place.prefix.as_deref()), ("company-backups", Some("kronos/a%20b")));
        let shown = place.describe("s3", Some("https://minio:9000/"));
        assert_eq!(shown, "s3://company-backups/kronos/a%20b at minio:9000");
        assert_eq!(Place::bucket("bucket").unwrap().describe("gs", None), "gs://bucket");
        assert!(!Place::bucket("KEY:SECRET@bucket/x").unwrap_err().to_string().contains("SECRET"));
        for bad in ["", "ab", "a b c", "buck@et", "bucket/a b", "bucket/../x", "bucket/a//b", "bucket/ü"] {
            assert_eq!(Place::bucket(bad).unwrap_err().kind(), ErrorKind::Config, "{bad:?}");
        }
        assert_eq!(authority("https://S3.Example.com:443/x").unwrap(), "s3.example.com");
        assert_eq!(authority("http://minio:443").unwrap(), "minio:443");
        for bad in ["minio:9000", "ftp://x", "", "http://", "https://me:secret@host"] {
            let error = authority(bad).unwrap_err();
            assert!(!format!("{error:?}").contains("secret"), "{bad:?}");
        }
    }
}
