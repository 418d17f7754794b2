//! A proxy between Kronos and a server that spoils what a test wants spoilt, one request at a time,
//! and notes what it saw.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, missing_docs)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    Pass,
    /// The connection is closed and the server never hears of it.
    Cut,
    /// The server does it, and the answer never comes.
    Lost,
    /// The connection is reset in the middle of the request.
    Reset,
    /// Nothing moves any more, before the server hears of it.
    Stall,
    /// The server does it, and its answer stops half way without an end.
    StallInAnswer,
    /// The answer is cut off half way.
    Truncate,
    /// The server hears of it twice, as some proxies send again what they had sent; this is its second answer.
    Twice,
    /// The server never hears of it; this is the answer: status, further headers, body.
    Answer(u16, &'static str, &'static str),
}

/// What kind of request it is, as all three clouds have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Put,
    PutIfAbsent,
    Begin,
    Part,
    Complete,
    Abort,
    Get,
    Range,
    Head,
    List,
    Delete,
    Other,
}

pub const KINDS: [Kind; 10] = [
    Kind::Put,
    Kind::PutIfAbsent,
    Kind::Begin,
    Kind::Part,
    Kind::Complete,
    Kind::Get,
    Kind::Range,
    Kind::Head,
    Kind::List,
    Kind::Delete,
];

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub kind: Kind,
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub length: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

type Decide = dyn FnMut(&Seen) -> Fate + Send;

/// The proxy; it ends when dropped.
pub struct Proxy {
    pub address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Stands before a server, given as `http://host:port/…`.
    pub async fn before(endpoint: &str, decide: impl FnMut(&Seen) -> Fate + Send + 'static) -> Self {
        let upstream = endpoint.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let decide: Arc<Mutex<Box<Decide>>> = Arc::new(Mutex::new(Box::new(decide)));
        let noted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                let (upstream, noted, decide) = (upstream.clone(), Arc::clone(&noted), Arc::clone(&decide));
                tokio::spawn(async move {
                    let _ = serve(client, &upstream, &noted, &decide).await;
                });
            }
        });
        Self { address, seen, task }
    }

    /// The endpoint of the server with the proxy in its place.
    pub fn endpoint(&self, endpoint: &str) -> String {
        let rest = endpoint.strip_prefix("http://").unwrap();
        let path = rest.find('/').map_or("", |slash| &rest[slash..]);
        format!("http://{}{path}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// A message: its head, its body, and whether the other side will close.
struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
}

async fn serve(
    mut client: TcpStream,
    upstream: &str,
    noted: &Mutex<Vec<Seen>>,
    decide: &Mutex<Box<Decide>>,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut left = Vec::new();
    loop {
        let Some(request) = read(&mut client, &mut left, false).await? else { return Ok(()) };
        let seen = look_at(&request);
        let fate = (decide.lock().unwrap())(&seen);
        noted.lock().unwrap().push(seen.clone());
        match fate {
            Fate::Cut => return Ok(()),
            Fate::Reset => {
                // Closed with something unread or with this option, a connection is reset.
                client.set_zero_linger()?;
                return Ok(());
            }
            Fate::Stall => {
                tokio::time::sleep(Duration::from_mins(10)).await;
                return Ok(());
            }
            Fate::Answer(status, headers, body) => {
                let head = format!("HTTP/1.1 {status} no\r\n{headers}content-length: {}\r\n\r\n", body.len());
                client.write_all(head.as_bytes()).await?;
                if seen.method != "HEAD" {
                    client.write_all(body.as_bytes()).await?;
                }
                continue;
            }
            _ => {}
        }
        if fate == Fate::Twice {
            ask(upstream, &request, &seen).await?;
        }
        let Some(answer) = ask(upstream, &request, &seen).await? else { return Ok(()) };
        match fate {
            Fate::Lost => return Ok(()),
            Fate::Truncate | Fate::StallInAnswer => {
                let whole = [&answer.head[..], &answer.body].concat();
                let some =
                    if answer.body.len() > 1 { answer.head.len() + answer.body.len() / 2 } else { whole.len() / 2 };
                client.write_all(&whole[..some]).await?;
                if fate == Fate::StallInAnswer {
                    tokio::time::sleep(Duration::from_mins(10)).await;
                }
                return Ok(());
            }
            _ => {}
        }
        client.write_all(&answer.head).await?;
        client.write_all(&answer.body).await?;
    }
}

/// What the server says to a request, unless it hangs up.
async fn ask(upstream: &str, request: &Message, seen: &Seen) -> std::io::Result<Option<Message>> {
    let mut server = TcpStream::connect(upstream).await?;
    server.write_all(&request.head).await?;
    server.write_all(&request.body).await?;
    let mut rest = Vec::new();
    loop {
        let answer = read(&mut server, &mut rest, seen.method == "HEAD").await?;
        // Go on, says the server, and the answer itself comes then.
        if answer.as_ref().is_none_or(|answer| !answer.head.starts_with(b"HTTP/1.1 100")) {
            return Ok(answer);
        }
    }
}

async fn read(from: &mut TcpStream, left: &mut Vec<u8>, of_head: bool) -> std::io::Result<Option<Message>> {
    let head = loop {
        if let Some(end) = find(left, b"\r\n\r\n") {
            break left.drain(..end + 4).collect::<Vec<u8>>();
        }
        if from.read_buf(left).await? == 0 {
            return Ok(None);
        }
    };
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name).map(str::trim).map(str::to_owned));
    let is_answer = text.starts_with("http/");
    let bodiless = of_head
        || text.starts_with("http/1.1 204")
        || text.starts_with("http/1.1 304")
        || text.starts_with("http/1.1 1");
    let mut body = Vec::new();
    if bodiless {
        return Ok(Some(Message { head, body }));
    }
    if let Some(length) = field("content-length:") {
        let length: usize = length.parse().unwrap();
        while left.len() < length {
            if from.read_buf(left).await? == 0 {
                return Ok(None);
            }
        }
        body = left.drain(..length).collect();
    } else if field("transfer-encoding:").is_some_and(|coding| coding.contains("chunked")) {
        loop {
            if let Some(end) =
                find(left, b"\r\n0\r\n\r\n").map(|at| at + 7).or_else(|| left.starts_with(b"0\r\n\r\n").then_some(5))
            {
                body = left.drain(..end).collect();
                break;
            }
            if from.read_buf(left).await? == 0 {
                return Ok(None);
            }
        }
    } else if is_answer {
        while from.read_buf(left).await? > 0 {}
        body = std::mem::take(left);
    }
    Ok(Some(Message { head, body }))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn look_at(request: &Message) -> Seen {
    let text = String::from_utf8_lossy(&request.head).into_owned();
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    // Google's names are written with their slashes escaped.
    let (method, target) =
        (first.next().unwrap_or_default().to_owned(), first.next().unwrap_or_default().replace("%2F", "/"));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let has = |name: &str| headers.iter().any(|(known, _)| known == name);
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let conditional = has("if-none-match")
        || headers.iter().any(|(name, value)| name == "x-goog-if-generation-match" && value == "0");
    let kind = match method.as_str() {
        _ if query.contains("comp=list") || query.contains("list-type=2") => Kind::List,
        "PUT" if query.contains("partNumber") || query.contains("comp=block&") => Kind::Part,
        "PUT" if query.contains("comp=blocklist") => Kind::Complete,
        "PUT" if conditional => Kind::PutIfAbsent,
        "PUT" => Kind::Put,
        "POST" if query.starts_with("uploads") => Kind::Begin,
        "POST" if query.contains("uploadId") => Kind::Complete,
        "POST" if query.contains("delete") || query.contains("comp=batch") => Kind::Delete,
        "DELETE" if query.contains("uploadId") => Kind::Abort,
        "DELETE" => Kind::Delete,
        "HEAD" => Kind::Head,
        "GET" if has("range") || has("x-ms-range") => Kind::Range,
        "GET" => Kind::Get,
        _ => Kind::Other,
    };
    Seen { kind, method, target, headers, length: request.body.len() }
}
