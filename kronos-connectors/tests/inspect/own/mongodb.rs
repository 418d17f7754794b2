//! Servers that speak MongoDB's protocol, by the command that `scripts/servers` names.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server that ends when it is dropped.
pub(crate) struct Instance {
    pub(crate) port: u16,
    process: Option<Child>,
    place: TempDir,
}

/// The command that starts one, without its port and its place.
pub(crate) fn command() -> Result<String, String> {
    let name = "KRONOS_TEST_MONGODB_COMMAND";
    std::env::var(name).map_err(|_| format!("{name} is not set: scripts/servers"))
}

impl Instance {
    /// A new one, empty.
    pub(crate) fn new() -> Self {
        let place = tempfile::Builder::new().prefix("kronos-instance-").tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut made = Self { port, process: None, place };
        made.start();
        made
    }

    pub(crate) fn start(&mut self) {
        let line = format!("exec {} --port {} --storage-path data", command().unwrap(), self.port);
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(self.place.path()).stdin(Stdio::null());
        self.process = Some(shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not start: {line}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}
