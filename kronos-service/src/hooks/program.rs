//! One hook as a process: started, fed, waited for, and ended with all that it has started.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::settings::{Hook, HookCommand};
use crate::mask::mask;

/// So much of what a hook says on stderr is shown: the end, in bytes.
const SHOWN: usize = 4 << 10;

/// From the request to end to the kill.
const GRACE: Duration = Duration::from_secs(5);

/// Between two looks whether all of it have ended.
const LOOK: Duration = Duration::from_millis(50);

/// What a hook has left running may hold its stderr open for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs a hook to its end, or until it is stopped.
pub(super) async fn run(
    (hook, name): (&Hook, &'static str),
    variables: BTreeMap<String, String>,
    input: Vec<u8>,
    secrets: Vec<String>,
    stop: &CancellationToken,
) -> Result<()> {
    let mut command = command(&hook.command, name)?;
    command.env_clear().envs(variables);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    // A group of its own: a timeout ends all that it has started, and the terminal's Ctrl-C does not.
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| could_not_start(name, &e))?;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let mut group = Group::of(child);

    let mut said = Vec::new();
    let ended = {
        let work = async {
            let mut listening = std::pin::pin!(listen(stderr, &mut said));
            let mut feeding = std::pin::pin!(feed(stdin, &input));
            let (mut is_fed, mut is_heard) = (false, false);
            let status = loop {
                tokio::select! {
                    status = group.child.wait() => break status,
                    () = &mut feeding, if !is_fed => is_fed = true,
                    () = &mut listening, if !is_heard => is_heard = true,
                }
            };
            if !is_heard {
                // Whoever holds it open says no more that matters.
                let _ = timeout(LAST_WORDS, listening).await;
            }
            status
        };
        stop.run_until_cancelled(timeout(hook.timeout, work)).await
    };
    let said = shown(&said, &secrets);
    let error = match ended {
        Some(Ok(Ok(status))) if status.success() => return Ok(()),
        Some(Ok(Ok(status))) => {
            Error::new(ErrorKind::ToolFailed, "a hook failed").with("hook", name).with("status", status)
        }
        Some(Ok(Err(e))) => {
            Error::new(ErrorKind::ToolFailed, "a hook could not be waited for").with("hook", name).with_source(e)
        }
        None => {
            group.end().await;
            Error::new(ErrorKind::Cancelled, "a hook was stopped").with("hook", name)
        }
        Some(Err(_)) => {
            group.end().await;
            Error::new(ErrorKind::Timeout, "a hook took too long and was ended")
                .with("hook", name)
                .with("timeout", format_args!("{} s", hook.timeout.as_secs_f64()))
        }
    };
    Err(if said.is_empty() { error } else { error.with("said", said) })
}

fn command(hook: &HookCommand, name: &'static str) -> Result<Command> {
    match hook {
        HookCommand::Shell(line) => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(line);
            Ok(command)
        }
        HookCommand::Program(words) => {
            let empty = || Error::new(ErrorKind::Config, "a hook has no program").with("hook", name);
            let (program, arguments) = words.split_first().ok_or_else(empty)?;
            let mut command = Command::new(program);
            command.args(arguments);
            Ok(command)
        }
    }
}

fn could_not_start(name: &'static str, e: &std::io::Error) -> Error {
    let kind = if e.kind() == std::io::ErrorKind::NotFound { ErrorKind::ToolMissing } else { ErrorKind::ToolFailed };
    Error::new(kind, "a hook could not be started")
        .with("hook", name)
        .with("system", e)
        .with("hint", "give the whole path of a program that may be executed, or one line for the shell")
}

/// A hook need not read what it is told.
async fn feed(stdin: Option<ChildStdin>, input: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(input).await;
        let _ = stdin.shutdown().await;
    }
}

/// Keeps the end of what it says, and reads all, so that it never waits for a reader.
async fn listen(stderr: Option<ChildStderr>, said: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let mut some = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut some).await {
        said.extend_from_slice(&some[..read]);
        // Twice as much: a secret may begin before what is shown.
        if said.len() > 4 * SHOWN {
            said.drain(..said.len() - 2 * SHOWN);
        }
    }
}

/// The end of what was said, without secrets, in one line.
fn shown(said: &[u8], secrets: &[String]) -> String {
    let text = String::from_utf8_lossy(said);
    let hidden = secrets.iter().fold(text.trim().to_owned(), |text, secret| text.replace(secret, "***"));
    let masked = mask(&hidden);
    let said = masked.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let mut from = said.len().saturating_sub(SHOWN);
    while !said.is_char_boundary(from) {
        from += 1;
    }
    said[from..].to_owned()
}

/// A process with those that it has started. Dropping it kills them, unless it has ended.
struct Group {
    child: Child,
    leader: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Self { child, leader }
    }

    /// Asks all to end, and kills those that do not.
    async fn end(&mut self) {
        let Some(leader) = self.leader else { return };
        let _ = kill_process_group(leader, Signal::TERM);
        let ending = async {
            let _ = self.child.wait().await;
            // The number of a group is nobody else's while one of it is left.
            while test_kill_process_group(leader).is_ok() {
                sleep(LOOK).await;
            }
        };
        if timeout(GRACE, ending).await.is_err() {
            let _ = kill_process_group(leader, Signal::KILL);
            // A killed process ends.
            let _ = self.child.wait().await;
        }
        self.leader = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Once the leader was waited for, its number may be somebody else's.
        if let (Some(leader), Some(_)) = (self.leader, self.child.id()) {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}
