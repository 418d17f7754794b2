//! Somebody who receives messages by HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What was received: `METHOD /path` and the body.
#[derive(Debug, Clone)]
pub struct Receiver {
    address: String,
    taken: Arc<Mutex<Vec<(String, String)>>>,
    answer: Arc<Mutex<u16>>,
}

impl Receiver {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let receiver = Self { address, taken: Arc::default(), answer: Arc::new(Mutex::new(200)) };
        let serving = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = serving.serve(stream.unwrap());
            }
        });
        receiver
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    /// From now on it answers with this status.
    pub fn answer(&self, status: u16) {
        *self.answer.lock().unwrap() = status;
    }

    /// Everything so far.
    pub fn all(&self) -> Vec<(String, String)> {
        self.taken.lock().unwrap().clone()
    }

    /// The occasions of all notices of webhooks, in the order in which they came.
    pub fn occasions(&self) -> Vec<String> {
        let mut occasions = Vec::new();
        for (request, body) in self.all().iter().filter(|(request, _)| request.starts_with("POST /hook")) {
            let body: serde_json::Value =
                serde_json::from_str(body).unwrap_or_else(|e| panic!("{request}: {e}: {body}"));
            for notice in body["notices"].as_array().unwrap() {
                occasions.push(notice["occasion"].as_str().unwrap().to_owned());
            }
        }
        occasions
    }

    /// Waits until such a request has come: much longer than the minutes that some of it takes.
    #[track_caller]
    pub fn wait(&self, wanted: impl Fn(&str, &str) -> bool) {
        let begun = Instant::now();
        while !self.all().iter().any(|(request, body)| wanted(request, body)) {
            assert!(begun.elapsed() < Duration::from_mins(5), "it never came: {:?}", self.all());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let request = first.rsplit_once(' ').map_or(first.as_str(), |(request, _)| request).to_owned();
        let status = *self.answer.lock().unwrap();
        if status < 300 {
            self.taken.lock().unwrap().push((request, String::from_utf8_lossy(&body).into_owned()));
        }
        write!(stream, "HTTP/1.1 {status} Status\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }
}
