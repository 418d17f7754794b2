//! A proxy before a server: a network that delays, cuts and falls silent, once so many bytes have
//! passed or once a client has said a certain word.
#![allow(dead_code, unreachable_pub, reason = "each engine's tests use their part")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The connection over which the last of the bytes passes is cut.
    One,
    /// Every connection is cut; new ones work.
    Cut,
    /// Every connection is cut, and nobody gets through any more.
    Gone,
    /// The connection is never heard of again; others work.
    Silent,
    /// No connection is ever heard of again, and the server learns of nothing.
    Vanished,
    /// The connections that there are when it is told to begin are never heard of again; new ones work.
    Forgotten,
    /// Nothing: the test does something at this moment.
    Nothing,
}

/// A proxy, until it is dropped.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

/// The moment at which clients have said what they were waited for.
pub struct Moment {
    has_come: Receiver<()>,
    is_over: Sender<()>,
}

impl Moment {
    /// With what the proxy does then.
    fn new() -> (Self, impl FnOnce() + Send + 'static) {
        let (comes, has_come) = channel();
        let (is_over, ends) = channel();
        let pause = move || {
            comes.send(()).unwrap();
            ends.recv().unwrap();
        };
        (Self { has_come, is_over }, pause)
    }

    /// Waits for it, does something, and lets the clients go on.
    pub async fn meanwhile<T>(self, deed: impl Future<Output = T>) -> T {
        let Self { has_come, is_over } = self;
        let has_come = tokio::task::spawn_blocking(move || has_come.recv_timeout(Duration::from_mins(2)));
        has_come.await.unwrap().expect("no client said these words");
        let done = deed.await;
        is_over.send(()).unwrap();
        done
    }
}

type Action = Box<dyn FnOnce() + Send>;

struct Shared {
    trouble: Trouble,
    /// Bytes that may pass until the trouble begins.
    left: AtomicI64,
    /// Words that clients must have said until then, in their order.
    words: Mutex<Vec<&'static str>>,
    /// What is done before the last of them gets to the server.
    action: Mutex<Option<Action>>,
    has_begun: AtomicBool,
    /// Each piece waits for so long.
    delay: Duration,
    connections: Mutex<Vec<TcpStream>>,
    /// Nothing passes while something is done.
    holds_all: bool,
    gate: RwLock<()>,
    is_over: AtomicBool,
}

impl Proxy {
    /// Trouble after so many bytes.
    pub fn after_bytes(server: u16, trouble: Trouble, bytes: u64, delay: Duration) -> Self {
        Self::new(server, trouble, i64::try_from(bytes).unwrap(), &[], None, delay)
    }

    /// Trouble once a client has said these words, one after the other; the last one still arrives.
    pub fn after_words(server: u16, trouble: Trouble, words: &[&'static str]) -> Self {
        Self::new(server, trouble, i64::MAX, words, None, Duration::ZERO)
    }

    /// Does something when a client has said these words, before the last one arrives.
    pub fn doing(server: u16, words: &[&'static str], action: impl FnOnce() + Send + 'static) -> Self {
        Self::new(server, Trouble::Nothing, i64::MAX, words, Some(Box::new(action)), Duration::ZERO)
    }

    /// The same, and until it is done nothing passes over any connection.
    pub fn holding(server: u16, words: &[&'static str], action: impl FnOnce() + Send + 'static) -> Self {
        Self::with(server, Trouble::Nothing, i64::MAX, words, Some(Box::new(action)), Duration::ZERO, true)
    }

    /// When a client has said these words, the last one waits for what the test does at that moment.
    pub fn waiting(server: u16, words: &[&'static str]) -> (Self, Moment) {
        let (moment, pause) = Moment::new();
        (Self::doing(server, words, pause), moment)
    }

    /// The same, and nothing passes over any other connection either.
    pub fn all_waiting(server: u16, words: &[&'static str]) -> (Self, Moment) {
        let (moment, pause) = Moment::new();
        (Self::holding(server, words, pause), moment)
    }

    fn new(
        server: u16,
        trouble: Trouble,
        bytes: i64,
        words: &[&'static str],
        action: Option<Action>,
        delay: Duration,
    ) -> Self {
        Self::with(server, trouble, bytes, words, action, delay, false)
    }

    fn with(
        server: u16,
        trouble: Trouble,
        bytes: i64,
        words: &[&'static str],
        action: Option<Action>,
        delay: Duration,
        holds_all: bool,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            trouble,
            left: AtomicI64::new(bytes),
            words: Mutex::new(words.to_vec()),
            action: Mutex::new(action),
            has_begun: AtomicBool::new(false),
            delay,
            connections: Mutex::default(),
            holds_all,
            gate: RwLock::default(),
            is_over: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            let mut unheard = Vec::new();
            while let Ok((client, _)) = listener.accept() {
                if accepting.is_over.load(Ordering::Acquire) {
                    return;
                }
                match accepting.trouble {
                    Trouble::Gone if accepting.has_begun() => continue,
                    Trouble::Vanished if accepting.has_begun() => {
                        unheard.push(client);
                        continue;
                    }
                    _ => {}
                }
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let both = [client.try_clone().unwrap(), upstream.try_clone().unwrap()];
                accepting.connections.lock().unwrap().extend(both);
                let pairs = [(client.try_clone().unwrap(), upstream.try_clone().unwrap()), (upstream, client)];
                for (is_client, (from, into)) in [true, false].into_iter().zip(pairs) {
                    let shared = accepting.clone();
                    std::thread::spawn(move || shared.pump(is_client, from, into));
                }
            }
        });
        Self { port, shared }
    }

    /// Nothing until it is told to begin; each piece of what passes waits for so long.
    pub fn until_told(server: u16, trouble: Trouble, delay: Duration) -> Self {
        Self::new(server, trouble, i64::MAX, &[], None, delay)
    }

    /// Tells the trouble to begin.
    pub fn begin(&self) {
        self.shared.has_begun.store(true, Ordering::Release);
        if matches!(self.shared.trouble, Trouble::Cut | Trouble::Gone) {
            self.shared.cut();
        }
    }

    /// Whether it has come to what was to happen.
    pub fn has_begun(&self) -> bool {
        self.shared.has_begun()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.shared.cut();
        // So that the listener wakes up.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn wait_for_the_end(&self) {
        while !self.is_over.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether these bytes are the last before the trouble.
    fn is_last(&self, is_client: bool, bytes: &[u8]) -> bool {
        let read = i64::try_from(bytes.len()).unwrap();
        if self.left.fetch_sub(read, Ordering::AcqRel) <= read {
            return true;
        }
        let mut words = self.words.lock().unwrap();
        let Some(word) = words.first().filter(|_| is_client) else { return false };
        if !bytes.windows(word.len()).any(|some| some == word.as_bytes()) {
            return false;
        }
        words.remove(0);
        words.is_empty()
    }

    fn pump(&self, is_client: bool, mut from: TcpStream, mut into: TcpStream) {
        let mut bytes = vec![0; 64 << 10];
        let is_new = self.has_begun();
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            if !self.delay.is_zero() {
                std::thread::sleep(self.delay);
            }
            let is_lost = match self.trouble {
                Trouble::Vanished => true,
                Trouble::Forgotten => !is_new,
                _ => false,
            };
            if is_lost && self.has_begun() {
                return self.wait_for_the_end();
            }
            if self.is_last(is_client, &bytes[..read]) && !self.has_begun.swap(true, Ordering::AcqRel) {
                let by_word = is_client && self.left.load(Ordering::Acquire) > 0;
                if let Some(action) = self.action.lock().unwrap().take() {
                    let _held = self.holds_all.then(|| self.gate.write().unwrap());
                    action();
                }
                if by_word && into.write_all(&bytes[..read]).is_err() {
                    break;
                }
                match self.trouble {
                    Trouble::One => break,
                    Trouble::Cut | Trouble::Gone => return self.cut(),
                    Trouble::Silent | Trouble::Vanished | Trouble::Forgotten => return self.wait_for_the_end(),
                    Trouble::Nothing => continue,
                }
            }
            drop(self.gate.read().unwrap());
            if into.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _ = into.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}

/// Numbers that look random.
pub fn scattered(n: u64, below: u64) -> u64 {
    (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) % below
}
