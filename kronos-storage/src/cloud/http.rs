//! The HTTP client beneath every cloud: TLS with ring, a limit on how long nothing may move, a pace
//! both ways, and no more requests at a time than the store bears. It tries each request once:
//! trying again is for whoever knows what the request was for.

#![allow(clippy::result_large_err, reason = "a failure is rare, and travels a few calls only")]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use kronos_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

use super::crowd::{Crowd, Place};
use super::failure::{Answer, Failure};
use super::tls;
use crate::pace::Pace;

/// The slowest that a request may be on the whole, in bytes a second.
const CRAWL: u64 = 8 << 10;
/// So much of an answer that says no is read.
const MOST_WORDS: usize = 64 << 10;
/// Those who give out credentials are near, or not there.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(5);

/// What the user may set of it.
#[derive(Debug, Clone)]
pub(crate) struct HttpSettings {
    /// How long nothing may move.
    pub(crate) idle: Duration,
    pub(crate) connect: Duration,
    /// The most requests at a time.
    pub(crate) connections: usize,
    /// Bytes a second.
    pub(crate) upload: Option<u64>,
    pub(crate) download: Option<u64>,
    /// Certificates of authorities beside the system's, as PEM.
    pub(crate) authorities: Option<Vec<u8>>,
    /// A proxy for everything, and the hosts that are reached without it.
    pub(crate) proxy: Option<(String, Option<String>)>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            idle: Duration::from_mins(1),
            connect: Duration::from_secs(10),
            connections: 32,
            upload: None,
            download: None,
            authorities: None,
            proxy: None,
        }
    }
}

/// The client of one storage. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    idle: Duration,
    crowd: Arc<Crowd>,
    up: Arc<Pace>,
    down: Arc<Pace>,
    /// The hosts of the store itself; others give out credentials.
    is_store: fn(&str) -> bool,
    endpoint: Option<String>,
}

impl Http {
    /// `endpoint` is the store's host where the user named one; else `is_store` knows its hosts.
    pub(crate) fn new(settings: &HttpSettings, endpoint: Option<String>, is_store: fn(&str) -> bool) -> Result<Self> {
        let bad = |message: &'static str| {
            move |e: reqwest::Error| Error::new(ErrorKind::Config, message).with_source(e.without_url())
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(settings.authorities.as_deref())?)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.connect)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(settings.connections)
            // Some servers hang up after five seconds, and who asks at that moment gets no answer.
            .pool_idle_timeout(Duration::from_secs(4))
            .user_agent(concat!("kronos/", env!("CARGO_PKG_VERSION")));
        if let Some((url, except)) = &settings.proxy {
            let proxy = reqwest::Proxy::all(url).map_err(bad("the proxy's address cannot be used"))?;
            // An instance's own credentials are next door.
            let except = format!(
                "169.254.169.254,169.254.170.2,metadata.google.internal,{}",
                except.as_deref().unwrap_or_default()
            );
            builder = builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_string(&except)));
        }
        Ok(Self {
            client: builder.build().map_err(bad("the HTTP client cannot be made"))?,
            idle: settings.idle,
            crowd: Crowd::new(settings.connections),
            up: Arc::new(Pace::new(settings.upload)),
            down: Arc::new(Pace::new(settings.download)),
            is_store,
            endpoint,
        })
    }

    /// Sends one request. An answer that says no becomes a failure, unless it says whether an object is there.
    pub(crate) async fn send<B>(&self, request: Request<B>) -> std::result::Result<Response<Receiving>, Failure>
    where
        B: Body<Data = Bytes>,
    {
        let (parts, body) = request.into_parts();
        let address = parts.uri.to_string();
        let host = super::place::authority(&address).unwrap_or_default();
        let of_credentials = match &self.endpoint {
            Some(endpoint) => *endpoint != host,
            None => !(self.is_store)(&host),
        };
        let place = self.crowd.enter().await;
        let moved = Arc::new(Moved::new());
        let bytes = body.collect().await.map_err(|_| Failure::cut_short(&host))?.to_bytes();
        let (method, length) = (parts.method.clone(), bytes.len());
        let url = reqwest::Url::parse(&address).map_err(|_| Failure::cut_short(&host))?;
        let mut sent = reqwest::Request::new(parts.method, url);
        *sent.headers_mut() = parts.headers;
        sent.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        *sent.body_mut() = Some(if self.up.is_limited() || length > self.up.slice() {
            reqwest::Body::wrap(Sending::new(bytes, Arc::clone(&self.up), Arc::clone(&moved)))
        } else {
            reqwest::Body::from(bytes)
        });

        let idle = if of_credentials { CREDENTIALS_TIMEOUT } else { self.idle };
        let answer = watched(&moved, idle, self.longest(length as u64, idle), self.client.execute(sent)).await;
        let answer = match answer {
            None => Err(Failure::stalled(&host, of_credentials)),
            Some(answer) => answer.map_err(|e| Failure::on_the_way(e, &host, of_credentials)),
        };
        let answer: Response<reqwest::Body> = match answer {
            Ok(answer) => answer.into(),
            Err(failure) => {
                if failure.kind == ErrorKind::Timeout {
                    self.crowd.was_turned_away();
                }
                return Err(failure);
            }
        };
        let (mut parts, body) = answer.into_parts();
        let expected = (method != http::Method::HEAD).then(|| body.size_hint().exact()).flatten();
        let down = Arc::clone(&self.down);
        let longest = self.longest(expected.unwrap_or(u64::MAX / 2), idle);
        let mut body = Receiving::new(body, down, moved, host.clone(), (idle, longest), place);
        if parts.status.is_success() {
            self.crowd.went_well();
            return Ok(Response::from_parts(parts, body));
        }
        let words = body.words().await;
        let retry_after = parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let text = String::from_utf8_lossy(&words);
        let answer = Answer { status: parts.status, body: &text, retry_after, host: &host, of_credentials };
        let Some(failure) = Failure::of_answer(&answer) else {
            parts.headers.remove(header::CONTENT_LENGTH);
            return Ok(Response::from_parts(parts, Receiving::read(words, host)));
        };
        if matches!(parts.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            self.crowd.was_turned_away();
        }
        Err(failure)
    }

    /// How long a request with so many bytes may take as a whole.
    fn longest(&self, bytes: u64, idle: Duration) -> Duration {
        let crawl = if self.up.is_limited() || self.down.is_limited() { 1 } else { CRAWL };
        idle.saturating_add(Duration::from_secs((bytes / crawl).min(1 << 32)))
    }
}

/// When something last moved, in milliseconds since the request began.
#[derive(Debug)]
struct Moved {
    begun: Instant,
    last: AtomicU64,
}

impl Moved {
    fn new() -> Self {
        Self { begun: Instant::now(), last: AtomicU64::new(0) }
    }

    fn now(&self) {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.begun + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

/// Does some work, unless nothing moves for `idle`, or it takes longer than `longest`.
async fn watched<T>(moved: &Moved, idle: Duration, longest: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let end = moved.begun + longest;
    loop {
        let next = (moved.last() + idle).min(end);
        tokio::select! {
            biased;
            done = &mut work => return Some(done),
            () = tokio::time::sleep_until(next) => {
                let now = Instant::now();
                if now >= end || now >= moved.last() + idle {
                    return None;
                }
            }
        }
    }
}

/// Waiting for one's turn.
type Wait = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// The body of a request on its way, slice by slice.
struct Sending {
    left: Bytes,
    pace: Arc<Pace>,
    moved: Arc<Moved>,
    wait: Option<Wait>,
}

impl Sending {
    fn new(left: Bytes, pace: Arc<Pace>, moved: Arc<Moved>) -> Self {
        Self { left, pace, moved, wait: None }
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        this.moved.now();
        if this.left.is_empty() {
            return Poll::Ready(None);
        }
        let length = this.pace.slice().min(this.left.len());
        if this.pace.is_limited() {
            let pace = &this.pace;
            let wait = this.wait.get_or_insert_with(|| {
                let pace = Arc::clone(pace);
                Box::pin(async move { pace.wait(length).await })
            });
            ready!(wait.as_mut().poll(context));
            this.wait = None;
            this.moved.now();
        }
        Poll::Ready(Some(Ok(Frame::data(this.left.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

/// The body of an answer. It holds the request's place until it is read or dropped.
pub(crate) struct Receiving {
    inner: Inner,
    host: String,
}

enum Inner {
    /// Read already.
    Read(Bytes),
    Coming(Box<Coming>),
}

struct Coming {
    body: reqwest::Body,
    pace: Arc<Pace>,
    moved: Arc<Moved>,
    idle: Duration,
    end: Instant,
    alarm: Pin<Box<tokio::time::Sleep>>,
    /// What came, and waits for its turn.
    wait: Option<(Wait, Bytes)>,
    _request: Place,
}

impl Receiving {
    fn new(
        body: reqwest::Body,
        pace: Arc<Pace>,
        moved: Arc<Moved>,
        host: String,
        (idle, longest): (Duration, Duration),
        request: Place,
    ) -> Self {
        moved.now();
        let (end, alarm) = (moved.begun + longest, Box::pin(tokio::time::sleep(idle)));
        let coming = Coming { body, pace, moved, idle, end, alarm, wait: None, _request: request };
        Self { inner: Inner::Coming(Box::new(coming)), host }
    }

    fn read(bytes: Bytes, host: String) -> Self {
        Self { inner: Inner::Read(bytes), host }
    }

    /// The beginning of it, as far as it comes.
    async fn words(&mut self) -> Bytes {
        let mut words = Vec::new();
        while let Some(Ok(frame)) = std::future::poll_fn(|context| Pin::new(&mut *self).poll_frame(context)).await {
            if let Ok(data) = frame.into_data() {
                words.extend_from_slice(&data);
            }
            if words.len() > MOST_WORDS {
                break;
            }
        }
        words.into()
    }
}

impl Coming {
    fn poll(&mut self, context: &mut Context<'_>, host: &str) -> Poll<Option<std::result::Result<Bytes, Failure>>> {
        loop {
            if let Some((wait, _)) = &mut self.wait {
                ready!(wait.as_mut().poll(context));
                self.moved.now();
                return Poll::Ready(self.wait.take().map(|(_, bytes)| Ok(bytes)));
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Some(Err(Failure::on_the_way(e, host, false)))),
                Poll::Ready(Some(Ok(frame))) => {
                    self.moved.now();
                    let Ok(bytes) = frame.into_data() else { continue };
                    if !self.pace.is_limited() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                    let (pace, length) = (Arc::clone(&self.pace), bytes.len());
                    self.wait = Some((Box::pin(async move { pace.wait(length).await }), bytes));
                }
                Poll::Pending => {
                    let next = (self.moved.last() + self.idle).min(self.end);
                    if Instant::now() >= next {
                        return Poll::Ready(Some(Err(Failure::stalled(host, false))));
                    }
                    self.alarm.as_mut().reset(next);
                    ready!(self.alarm.as_mut().poll(context));
                }
            }
        }
    }
}

impl Body for Receiving {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Failure>>> {
        let this = self.get_mut();
        match &mut this.inner {
            Inner::Read(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inner::Read(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Inner::Coming(coming) => {
                coming.poll(context, &this.host).map(|next| next.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Read(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Coming(coming) => coming.body.size_hint(),
        }
    }
}
