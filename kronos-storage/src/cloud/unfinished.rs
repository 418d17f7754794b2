//! The list of multipart uploads that were begun and never ended, as S3 gives it. They are not
//! among the objects, and are paid for all the same.

use http::Request;
use http_body_util::BodyExt as _;
use kronos_core::Timestamp;
use serde::Deserialize;

use super::failure::Failure;
use super::http::Http;

/// An upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) path: String,
    pub(crate) id: String,
    pub(crate) at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Upload", default)]
    uploads: Vec<Upload>,
}

#[derive(Deserialize)]
struct Upload {
    #[serde(rename = "Key")]
    path: String,
    #[serde(rename = "UploadId")]
    id: String,
    #[serde(rename = "Initiated")]
    at: Option<String>,
}

/// What is asked for: those below a prefix, after the last one seen.
pub(crate) fn query(below: Option<&str>, after: Option<&Begun>) -> Vec<(&'static str, String)> {
    let mut query = vec![("uploads", String::new())];
    query.extend(below.map(|below| ("prefix", format!("{below}/"))));
    query.extend(after.map(|after| ("key-marker", after.path.clone())));
    query.extend(after.map(|after| ("upload-id-marker", after.id.clone())));
    query
}

/// One page of the list; an empty one is the end.
pub(crate) async fn page(http: &Http, url: &str) -> Result<Vec<Begun>, Failure> {
    let request = Request::get(url).body(http_body_util::Empty::new());
    let Ok(request) = request else { return Ok(Vec::new()) };
    let text = http.send(request).await?.into_body().collect().await?.to_bytes();
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// What cannot be read is no list: leftovers cost money, not data.
fn parse(text: &str) -> Vec<Begun> {
    let answer = quick_xml::de::from_str::<Answer>(text);
    let begun = |upload: Upload| Begun { at: upload.at.as_deref().and_then(time), path: upload.path, id: upload.id };
    answer.map_or_else(|_| Vec::new(), |answer| answer.uploads.into_iter().map(begun).collect())
}

fn time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_micros(time.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>b</Bucket><IsTruncated>false</IsTruncated>
            <Upload><Key>a/b</Key><UploadId>u1</UploadId><Initiated>2026-11-21T10:00:00.000Z</Initiated><StorageClass>STANDARD</StorageClass></Upload>
            <Upload><Key>a/c</Key><UploadId>u2</UploadId></Upload></ListMultipartUploadsResult>"#;
        let found = parse(text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].path.as_str(), found[0].id.as_str()), ("a/b", "u1"));
        assert_eq!(found[0].at, Some(Timestamp::from_micros(1_795_255_200_000_000)));
        assert_eq!(found[1].at, None);
        assert!(parse("<html>").is_empty() && parse("").is_empty());
        let query = query(Some("kronos"), Some(&found[1]));
        assert_eq!(
            query[1..],
            [("prefix", "kronos/".to_owned()), ("key-marker", "a/c".to_owned()), ("upload-id-marker", "u2".to_owned())]
        );
    }
}
