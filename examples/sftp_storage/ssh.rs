//! The running `ssh`: its pipes, its end, and its last words.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, BufReader};
use tokio::process::{Child, ChildStderr};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::address::Address;
use crate::failure::plain;

/// How much of what it says is kept: lines, and bytes of a line.
const LINES: usize = 20;
const LINE: u64 = 1000;
/// How long to wait for its end and its words when the connection has broken: it is at its end already.
const GRACE: Duration = Duration::from_secs(2);

/// A child process, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Ssh {
    stop: watch::Sender<bool>,
    ended: watch::Receiver<Option<Ended>>,
}

/// How it ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// 255 is from `ssh` itself; anything else from the other side.
    pub(crate) status: Option<ExitStatus>,
    /// The last lines of what it said.
    pub(crate) words: Vec<String>,
}

impl Ssh {
    /// Starts it; gives the two pipes as one.
    pub(crate) fn start(address: &Address) -> Result<(Self, impl AsyncRead + AsyncWrite + Unpin + Send + 'static)> {
        let mut command = address.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Out of the terminal's group: an interrupted program still has its connection to clean up with.
        command.process_group(0);
        let mut child = command.spawn().map_err(|e| {
            Error::new(ErrorKind::ToolMissing, "ssh cannot be started")
                .with("hint", "install OpenSSH's client, and see that ssh is on PATH")
                .with_source(e)
        })?;
        let (Some(stdout), Some(stdin), Some(stderr)) = (child.stdout.take(), child.stdin.take(), child.stderr.take())
        else {
            return Err(Error::new(ErrorKind::Internal, "ssh has no pipes"));
        };
        let (stop, stopped) = watch::channel(false);
        let (tell, ended) = watch::channel(None);
        tokio::spawn(async move { tell.send_replace(Some(attend(child, stderr, stopped).await)) });
        Ok((Self { stop, ended }, tokio::io::join(stdout, stdin)))
    }

    /// Ends it.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Whether it runs and is to go on.
    pub(crate) fn is_alive(&self) -> bool {
        !*self.stop.borrow() && self.ended.borrow().is_none() && self.ended.has_changed().is_ok()
    }

    /// How it ended, if it ends by itself within moments; ends it if not.
    pub(crate) async fn end(&self) -> Option<Ended> {
        let mut ended = self.ended.clone();
        let told = timeout(GRACE, ended.wait_for(Option::is_some)).await;
        self.stop();
        told.ok()?.ok()?.clone()
    }
}

/// Waits for its end, or makes it end; gathers what it says.
async fn attend(mut child: Child, stderr: ChildStderr, mut stopped: watch::Receiver<bool>) -> Ended {
    let words = Arc::new(Mutex::new(VecDeque::new()));
    let listener = tokio::spawn(listen(stderr, Arc::clone(&words)));
    let status = tokio::select! {
        status = child.wait() => status,
        // Also when nobody is left who could say so.
        () = async { stopped.wait_for(|stop| *stop).await.map_or((), drop) } => {
            // It may have ended by itself this moment.
            let _ = child.start_kill();
            child.wait().await
        }
    };
    // A shared connection that stays in the background keeps the pipe open.
    let _ = timeout(GRACE / 4, listener).await;
    let words = words.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
    Ended { status: status.ok(), words }
}

async fn listen(stderr: ChildStderr, words: Arc<Mutex<VecDeque<String>>>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while matches!((&mut stderr).take(LINE).read_until(b'\n', &mut line).await, Ok(1..)) {
        let text = plain(&String::from_utf8_lossy(&line));
        line.clear();
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        if !text.is_empty() {
            words.push_back(text);
        }
        if words.len() > LINES {
            words.pop_front();
        }
    }
}
