//! Clusters of a test's own: made with a server's programs, restarted and thrown away at will.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::server::Server;

/// A cluster that ends when it is dropped.
pub(crate) struct Cluster {
    pub(crate) server: Server,
    place: TempDir,
}

impl Cluster {
    /// A new one, empty.
    pub(crate) fn new(server: &Server) -> Self {
        let made = Self::at_a_place(server);
        let data = made.data();
        made.run(
            "initdb",
            &["--no-sync", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-D", &data],
        );
        made.start();
        made
    }

    /// One that follows another.
    pub(crate) fn standby(of: &Self) -> Self {
        let made = Self::at_a_place(&of.server);
        let (data, port) = (made.data(), of.server.port.to_string());
        made.run(
            "pg_basebackup",
            &["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-D", &data, "-R", "-c", "fast", "--no-sync"],
        );
        made.start();
        made
    }

    fn at_a_place(server: &Server) -> Self {
        let place = tempfile::Builder::new().prefix("kronos-cluster-").tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let made = Self { server: Server { port: free, ..server.clone() }, place };
        give_to_server(made.place.path());
        made
    }

    /// A directory that the server may write to, beside its own.
    pub(crate) fn directory(&self, name: &str) -> String {
        let path = self.place.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        give_to_server(&path);
        path.to_str().unwrap().to_owned()
    }

    fn data(&self) -> String {
        format!("{}/data", self.place.path().display())
    }

    /// Runs one of the server's programs as the server's user.
    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.server.path(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            let (user, group) = user();
            command.args([&format!("--reuid={user}"), &format!("--regid={group}"), "--clear-groups", &program]);
            command
        } else {
            Command::new(program)
        };
        let log = std::fs::File::create(self.place.path().join("said")).unwrap();
        // Not a pipe: the server that is started would hold it open.
        command.args(arguments).env("LC_ALL", "C").current_dir(self.place.path());
        command.stdin(std::process::Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let done = command.status().unwrap();
        let said = std::fs::read_to_string(self.place.path().join("said")).unwrap();
        assert!(done.success(), "{command:?}: {said}");
    }

    pub(crate) fn start(&self) {
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 -c fsync=off -c shared_buffers=32MB -c max_wal_size=1GB -c hot_standby=on",
            self.server.port,
            self.place.path().display()
        );
        let log = format!("{}/log", self.place.path().display());
        self.run("pg_ctl", &["start", "-w", "-D", &self.data(), "-l", &log, "-o", &options]);
    }

    /// Ends it; `immediate` is as if it crashed.
    pub(crate) fn stop(&self, mode: &str) {
        self.run("pg_ctl", &["stop", "-w", "-D", &self.data(), "-m", mode]);
    }

    /// Ends all of its processes at once, as a crash of the machine does.
    #[allow(dead_code, reason = "the tests of the database service do it")]
    pub(crate) fn kill(&self) {
        let first = std::fs::read_to_string(self.pid_file()).unwrap().lines().next().unwrap().to_owned();
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &first]).output().unwrap();
        let children = String::from_utf8_lossy(&children.stdout).into_owned();
        // The first one does not get to start others in their place.
        let all = std::iter::once(first.as_str()).chain(children.split_ascii_whitespace());
        let killed = Command::new("kill").arg("-KILL").args(all).status().unwrap();
        assert!(killed.success());
        std::fs::remove_file(self.pid_file()).unwrap();
    }

    fn pid_file(&self) -> PathBuf {
        PathBuf::from(self.data()).join("postmaster.pid")
    }

    /// Roles and tablespaces.
    pub(crate) fn globals(&self) -> String {
        let mut dumpall = self.server.program("pg_dumpall");
        let done = dumpall.arg("--globals-only").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.pid_file().exists() {
            self.stop("immediate");
        }
    }
}

/// Who the server runs as where it must not be root, and his group.
fn user() -> (&'static str, &'static str) {
    let known = Command::new("id").arg("postgres").output().is_ok_and(|done| done.status.success());
    if known { ("postgres", "postgres") } else { ("nobody", "nogroup") }
}

fn give_to_server(path: &Path) {
    if is_root() {
        let done = Command::new("chown").arg(user().0).arg(path).status().unwrap();
        assert!(done.success());
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}
