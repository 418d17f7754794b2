//! A receiver of HTTP: it keeps what arrives, and answers as it is told.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What is answered, and after how long.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: &'static str,
    pub headers: String,
    pub body: String,
    pub after: Duration,
}

impl Reply {
    pub fn of(status: &'static str) -> Self {
        Self { status, headers: String::new(), body: "ok".to_owned(), after: Duration::ZERO }
    }
}

type Answer = Box<dyn FnMut(&Request) -> Reply + Send>;

/// A receiver on a port of 127.0.0.1, as long as the test runs.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Mutex<Answer>>,
}

pub trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

impl Receiver {
    pub fn start() -> Self {
        Self::with(|stream| Some(Box::new(stream)))
    }

    /// Speaks TLS with a certificate that only `tls_ca` makes trustworthy.
    pub fn with_tls(certificate: &[u8], key: &[u8]) -> Self {
        use rustls::pki_types::pem::PemObject as _;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let certificate = CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificate, key)
            .unwrap();
        let config = Arc::new(config);
        Self::with(move |stream| {
            let server = rustls::ServerConnection::new(Arc::clone(&config)).ok()?;
            Some(Box::new(rustls::StreamOwned::new(server, stream)))
        })
    }

    fn with(wrap: impl Fn(std::net::TcpStream) -> Option<Box<dyn Wire>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            answer: Arc::new(Mutex::new(Box::new(|_| Reply::of("200 OK")))),
        };
        let (mine, wrap) = (receiver.clone(), Arc::new(wrap));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (mine, wrap) = (mine.clone(), Arc::clone(&wrap));
                std::thread::spawn(move || wrap(stream).and_then(|mut wire| mine.serve(&mut *wire)));
            }
        });
        receiver
    }

    pub fn answer(&self, answer: impl FnMut(&Request) -> Reply + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    /// What has arrived since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    fn serve(&self, wire: &mut dyn Wire) -> Option<()> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            wire.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let line = lines.next()?.to_owned();
        let headers: BTreeMap<_, _> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        wire.read_exact(&mut body).ok()?;
        let request = Request { line, headers, body };
        let reply = (self.answer.lock().unwrap())(&request);
        self.requests.lock().unwrap().push(request);
        std::thread::sleep(reply.after);
        let Reply { status, headers, body, .. } = reply;
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
        wire.write_all(head.as_bytes()).and_then(|()| wire.write_all(body.as_bytes())).and_then(|()| wire.flush()).ok()
    }
}
