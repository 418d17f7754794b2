//! What the HTTP endpoint answers: `/metrics`, `/healthz`, `/readyz`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use kronos_core::Result;

use super::Metrics;
use crate::failure::line;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// How long `/readyz` waits for its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the program can do its work.
#[async_trait]
pub trait Readiness: fmt::Debug + Send + Sync {
    /// An error says why it cannot.
    async fn ready(&self) -> Result<()>;
}

/// Answers requests; knows nothing of connections, so that another server can ask it too.
#[derive(Debug, Clone)]
pub struct Endpoint {
    metrics: Metrics,
    readiness: Arc<dyn Readiness>,
}

impl Endpoint {
    /// Tells these figures, and whether the program is ready.
    pub fn new(metrics: Metrics, readiness: Arc<dyn Readiness>) -> Self {
        Self { metrics, readiness }
    }

    /// The answer to a request. `accept` is the value of its `Accept` header.
    pub async fn answer(&self, method: &Method, path: &str, accept: Option<&str>) -> Response<Full<Bytes>> {
        if !["/metrics", "/healthz", "/readyz"].contains(&path) {
            return plain(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz here\n");
        }
        if method != Method::GET && method != Method::HEAD {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/metrics" => self.page(accept.is_some_and(|accept| accept.contains("application/openmetrics-text"))).await,
            // Whoever gets this answer has the proof.
            "/healthz" => plain(StatusCode::OK, "alive\n"),
            _ => self.ready().await,
        }
    }

    async fn page(&self, open_metrics: bool) -> Response<Full<Bytes>> {
        let metrics = self.metrics.clone();
        // Thousands of jobs make a page of megabytes.
        let page =
            tokio::task::spawn_blocking(move || if open_metrics { metrics.open_metrics() } else { metrics.page() });
        match page.await {
            Ok(Ok(page)) => response(StatusCode::OK, if open_metrics { OPEN_METRICS } else { TEXT }, page),
            Ok(Err(e)) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", line(&e))),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written as text\n"),
        }
    }

    async fn ready(&self) -> Response<Full<Bytes>> {
        match tokio::time::timeout(PATIENCE, self.readiness.ready()).await {
            Ok(Ok(())) => plain(StatusCode::OK, "ready\n"),
            Ok(Err(e)) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", line(&e))),
            Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready: no answer within 5 s\n"),
        }
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    response(status, PLAIN, text)
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
