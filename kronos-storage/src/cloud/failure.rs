//! Why a request failed: what the store answered, or what broke on the way, as the kinds of error
//! that callers branch on, with a hint where one helps.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use kronos_core::{Error, ErrorKind, Retry};

/// The longest that a store's wish to be left alone is granted at a time.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// A failure that travels through the client library unchanged. Never with the request's query: it may hold a
/// signature.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) retry: Retry,
    message: &'static str,
    status: Option<StatusCode>,
    /// The store's own name for it, such as `NoSuchBucket`.
    pub(crate) code: Option<String>,
    /// The store's words.
    detail: Option<String>,
    hint: Option<&'static str>,
    host: String,
    pub(crate) wait: Option<Duration>,
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)
    }
}

impl StdError for Failure {}

/// An answer that says no, read as far as it matters.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: StatusCode,
    pub(crate) body: &'a str,
    pub(crate) retry_after: Option<&'a str>,
    pub(crate) host: &'a str,
    /// It is not the store that answers, but one that gives out credentials.
    pub(crate) of_credentials: bool,
}

const CREDENTIALS: &str = "check the access key, secret, token or role, and that they belong to this store";
const NO_CREDENTIALS: &str = "give credentials: the cloud's variables, its configuration files, an instance's or workload's \
                              role; or anonymous=true to read what is public";
const PERMISSION: &str =
    "these credentials may not do this: allow them to list, read, write and delete below the prefix";
const CLOCK: &str = "set this machine's clock: signatures are only good for minutes";
const BUCKET: &str = "make the bucket or container first, and check its name and the endpoint";
const REGION: &str = "give the region that the bucket is in: region=…";

impl Failure {
    /// What an answer means, or `None` when it is for the client library to say: not there, there already.
    pub(crate) fn of_answer(answer: &Answer<'_>) -> Option<Self> {
        use ErrorKind as K;
        let code = code(answer.body);
        let (now, later) = (Retry::Never, Retry::Later);
        if answer.of_credentials && answer.status != StatusCode::TOO_MANY_REQUESTS && !answer.status.is_server_error() {
            return Some(Self::new(
                answer,
                code,
                K::Authentication,
                now,
                "no credentials were given out",
                Some(CREDENTIALS),
            ));
        }
        let named = code.as_deref().unwrap_or_default();
        let (kind, retry, message, hint) = match (answer.status.as_u16(), named) {
            (_, "NoSuchBucket" | "ContainerNotFound" | "InvalidBucketName" | "BucketNotFound") => {
                (K::Config, now, "there is no such bucket or container", Some(BUCKET))
            }
            (_, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" | "PermanentRedirect")
            | (301 | 302 | 307 | 308, _) => (K::Config, now, "the bucket is elsewhere", Some(REGION)),
            (_, "RequestTimeTooSkewed" | "RequestExpired") => {
                (K::Authentication, now, "the store finds this machine's clock wrong", Some(CLOCK))
            }
            (_, "InvalidObjectState" | "BlobArchived" | "BlobBeingRehydrated") => (
                K::Unsupported,
                now,
                "the object is in an archive and cannot be read at once",
                Some("have the store bring it back from its archive, then try again"),
            ),
            (_, "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" | "TotalRequestLimitExceeded")
            | (507, _) => (K::StorageFull, now, "the store has no room left", None),
            (
                _,
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "AuthenticationFailed"
                | "AuthorizationFailure"
                | "NotSignedUp"
                | "ExpiredToken"
                | "InvalidToken"
                | "TokenRefreshRequired"
                | "InvalidAuthenticationInfo"
                | "NoAuthenticationInformation"
                | "InvalidSecurity"
                | "MissingSecurityHeader"
                | "AuthenticationRequired"
                | "UnauthorizedAccess"
                | "MissingAuthenticationToken",
            )
            | (401, _) => (K::Authentication, now, "the store refuses the credentials", Some(CREDENTIALS)),
            // Without a word it may mean the credentials as well as a permission: HEAD has no body.
            (403, "") => (K::Authentication, now, "the store refuses the credentials or the access", Some(CREDENTIALS)),
            (403, _)
            | (409, "BlobImmutableDueToPolicy" | "BlobImmutableDueToLegalHold" | "LeaseIdMissing")
            | (_, "ObjectLocked" | "AccessDenied" | "ObjectUnderActiveHold" | "RetentionPolicyNotMet") => {
                (K::PermissionDenied, now, "the store does not allow it", Some(PERMISSION))
            }
            (408, _) | (400, "RequestTimeout") => {
                (K::Timeout, later, "the store waited too long for the request", None)
            }
            (429, _) | (503 | 500, "SlowDown" | "ServerBusy" | "TooManyRequests" | "Throttling") => {
                (K::Io, later, "the store has too much to do", None)
            }
            (409, "OperationAborted" | "ConditionalRequestConflict") | (412, "LeaseLost") => {
                (K::Io, later, "the store was busy with the same object", None)
            }
            (501 | 405, _) | (400, "NotImplemented" | "UnsupportedHeader" | "FeatureVersionMismatch") => {
                (K::Unsupported, now, "the store cannot do it", None)
            }
            (404 | 409 | 412 | 416 | 304, _) => return None,
            (500.., _) => (K::Io, later, "the store failed", None),
            (400, "IncompleteBody" | "BadDigest" | "XAmzContentSHA256Mismatch" | "Md5Mismatch") => {
                (K::Io, later, "the store received something else than was sent", None)
            }
            _ => (K::Io, now, "the store refuses the request", None),
        };
        Some(Self::new(answer, code, kind, retry, message, hint))
    }

    /// What the client library says of an object among several that was refused, as `(code: AccessDenied)`.
    pub(crate) fn of_words(words: &str) -> Option<Self> {
        let (_, rest) = words.split_once("(code: ")?;
        let (code, _) = rest.split_once(')')?;
        let status =
            code.parse().ok().and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::FORBIDDEN);
        let body = format!("<Code>{code}</Code>");
        let answer = Answer { status, body: &body, retry_after: None, host: "", of_credentials: false };
        Self::of_answer(&answer)
    }

    fn new(
        answer: &Answer<'_>,
        code: Option<String>,
        kind: ErrorKind,
        retry: Retry,
        message: &'static str,
        hint: Option<&'static str>,
    ) -> Self {
        let wait = answer.retry_after.and_then(retry_after).map(|wait| wait.min(LONGEST_WAIT));
        let detail = element(answer.body, "Message").or_else(|| element(answer.body, "error_description"));
        Self {
            kind,
            retry,
            message,
            status: Some(answer.status),
            code,
            detail,
            hint,
            host: answer.host.to_owned(),
            wait,
            cause: None,
        }
    }

    /// What broke on the way there or back.
    pub(crate) fn on_the_way(error: reqwest::Error, host: &str, of_credentials: bool) -> Self {
        use ErrorKind as K;
        let untrusted = chain(&error).any(is_tls);
        let (kind, retry, message, hint) = if of_credentials && error.is_connect() {
            (K::Authentication, Retry::Never, "no credentials were found", Some(NO_CREDENTIALS))
        } else if untrusted {
            let hint = "give the certificate of the authority that vouches for the store: tls_ca=FILE";
            (K::ConnectionFailed, Retry::Never, "the store's certificate is not trusted", Some(hint))
        } else if error.is_timeout() {
            (K::Timeout, Retry::Later, "the store did not answer in time", None)
        } else if error.is_connect() {
            (K::ConnectionFailed, Retry::Later, "the store cannot be reached", None)
        } else if error.is_builder() {
            (K::Config, Retry::Never, "the request cannot be made", None)
        } else {
            (K::Io, Retry::Later, "the connection to the store broke", None)
        };
        // Its URL may hold a signature.
        let cause: Arc<dyn StdError + Send + Sync> = Arc::new(error.without_url());
        Self { hint, ..Self::plain(kind, retry, message, host) }.because(cause)
    }

    /// Nothing moved for so long.
    pub(crate) fn stalled(host: &str, of_credentials: bool) -> Self {
        if of_credentials {
            let kind = ErrorKind::Authentication;
            let failure = Self::plain(kind, Retry::Never, "no credentials were found", host);
            return Self { hint: Some(NO_CREDENTIALS), ..failure };
        }
        Self::plain(ErrorKind::Timeout, Retry::Later, "the store did not answer in time", host)
    }

    /// Nobody gave credentials out.
    #[cfg(feature = "aws-profiles")]
    pub(crate) fn no_credentials(cause: Arc<dyn StdError + Send + Sync>) -> Self {
        let failure = Self::plain(ErrorKind::Authentication, Retry::Never, "no credentials were found", "");
        Self { hint: Some(NO_CREDENTIALS), ..failure }.because(cause)
    }

    /// An answer was cut short.
    pub(crate) fn cut_short(host: &str) -> Self {
        Self::plain(ErrorKind::Io, Retry::Later, "the store's answer was cut short", host)
    }

    fn plain(kind: ErrorKind, retry: Retry, message: &'static str, host: &str) -> Self {
        let host = host.to_owned();
        Self { kind, retry, message, status: None, code: None, detail: None, hint: None, host, wait: None, cause: None }
    }

    fn because(self, cause: Arc<dyn StdError + Send + Sync>) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// The error that Kronos shows.
    pub(crate) fn to_error(&self, object: impl fmt::Display) -> Error {
        let mut error = Error::new(self.kind, self.message).with_retry(self.retry).with("object", object);
        if !self.host.is_empty() {
            error = error.with("host", &self.host);
        }
        if let Some(status) = self.status {
            error = error.with("status", status.as_u16());
        }
        if let Some(code) = &self.code {
            error = error.with("code", code);
        }
        if let Some(detail) = &self.detail {
            error = error.with("the store says", detail);
        }
        if let Some(hint) = self.hint {
            error = error.with("hint", hint);
        }
        if let Some(wait) = self.wait {
            error = error.with_retry_after(wait);
        }
        match &self.cause {
            Some(cause) => error.with_source(Arc::clone(cause)),
            None => error,
        }
    }
}

/// An error and those beneath it.
pub(crate) fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    let io = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || io.and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some()
}

/// The `Code` of an error in XML, or the `error` of one in JSON.
fn code(body: &str) -> Option<String> {
    element(body, "Code").or_else(|| element(body, "error"))
}

/// The text of an XML element or of a string in JSON, shortened: only to be shown and compared.
fn element(body: &str, name: &str) -> Option<String> {
    let xml = body.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once('<'));
    let json = || {
        let (_, rest) = body.split_once(&format!("\"{name}\""))?;
        rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?.split_once('"')
    };
    let (text, _) = xml.or_else(json)?;
    let line = text.lines().next().unwrap_or_default().trim();
    let shown: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
    (!shown.is_empty()).then_some(shown)
}

/// `Retry-After` as a number of seconds or as a date.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text.trim()).ok()?;
    at.duration_since(std::time::SystemTime::now()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Option<Error> {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, body, retry_after: Some("7"), host: "store:9000", of_credentials: false };
        Failure::of_answer(&answer).map(|failure| failure.to_error("a/b"))
    }

    #[test]
    fn answers_become_kinds() {
        let xml = |code: &str| format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>");
        for (status, code, kind, retry) in [
            (403, "SignatureDoesNotMatch", ErrorKind::Authentication, Retry::Never),
            (403, "InvalidAccessKeyId", ErrorKind::Authentication, Retry::Never),
            (403, "AccessDenied", ErrorKind::PermissionDenied, Retry::Never),
            (404, "NoSuchBucket", ErrorKind::Config, Retry::Never),
            (404, "ContainerNotFound", ErrorKind::Config, Retry::Never),
            (400, "AuthorizationHeaderMalformed", ErrorKind::Config, Retry::Never),
            (403, "InvalidObjectState", ErrorKind::Unsupported, Retry::Never),
            (409, "BlobImmutableDueToPolicy", ErrorKind::PermissionDenied, Retry::Never),
            (409, "ConditionalRequestConflict", ErrorKind::Io, Retry::Later),
            (503, "SlowDown", ErrorKind::Io, Retry::Later),
            (507, "", ErrorKind::StorageFull, Retry::Never),
            (501, "NotImplemented", ErrorKind::Unsupported, Retry::Never),
        ] {
            let error = answer(status, &xml(code)).unwrap();
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{status} {code}");
            assert_eq!(error.context("the store says"), Some("m"));
        }
        let refused = Failure::of_words("DeleteObjects request failed for key a: no (code: AccessDenied)").unwrap();
        assert_eq!(refused.to_error("a").kind(), ErrorKind::PermissionDenied);
        assert_eq!(answer(403, "").unwrap().kind(), ErrorKind::Authentication);
        assert_eq!(answer(502, "<html>").unwrap().retry(), Retry::Later);
        for (status, body) in [(404, ""), (404, "NoSuchKey"), (409, "BlobAlreadyExists"), (412, ""), (416, "")] {
            assert!(answer(status, &xml(body)).is_none(), "{status}");
        }
    }

    #[test]
    fn a_wish_to_wait_is_heard() {
        let error = answer(429, r#"{"error": "rate_limit", "error_description": "slowly"}"#).unwrap();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert_eq!((error.context("code"), error.context("the store says")), (Some("rate_limit"), Some("slowly")));
        assert_eq!(retry_after("soon"), None);
        let later = std::time::SystemTime::now() + Duration::from_mins(1);
        let wait = retry_after(&httpdate::fmt_http_date(later)).unwrap();
        assert!((50..=60).contains(&wait.as_secs()), "{wait:?}");
    }
}
