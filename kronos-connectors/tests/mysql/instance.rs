//! Servers of a test's own: made with a server's programs, killed, restarted and thrown away at will.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::server::Server;

/// A server that ends when it is dropped.
pub(crate) struct Instance {
    pub(crate) server: Server,
    process: Option<Child>,
    options: Vec<String>,
    place: TempDir,
}

impl Instance {
    /// A new one, empty.
    pub(crate) fn new(server: &Server, options: &[&str]) -> Self {
        let place = tempfile::Builder::new().prefix("kronos-instance-").tempdir().unwrap();
        let data = place.path().join("data");
        std::fs::create_dir(&data).unwrap();
        Self::with_data(server, place, &data, options)
    }

    /// With its data in a directory that is there and empty.
    pub(crate) fn with_data(server: &Server, place: TempDir, data: &Path, options: &[&str]) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut made = Self { server: Server { port: free, ..server.clone() }, process: None, options: vec![], place };
        give_to_server(made.place.path());
        give_to_server(data);
        let base = Path::new(&server.bin).parent().unwrap().to_path_buf();
        let share = ["mysql", "mariadb"].iter().map(|name| base.join("share").join(name));
        let share = share.into_iter().find(|share| share.join("charsets").is_dir()).unwrap();
        made.options = vec![
            format!("--basedir={}", base.display()),
            format!("--lc-messages-dir={}", share.display()),
            format!("--character-sets-dir={}", share.join("charsets").display()),
            format!("--datadir={}", data.display()),
        ];
        let first = made.place.path().join("first.sql");
        let quoted = server.password.replace('\'', "''");
        let flush = if server.is_mariadb() { "FLUSH PRIVILEGES;\n" } else { "" };
        let sql = format!(
            "{flush}ALTER USER root@localhost IDENTIFIED BY '{quoted}';\nCREATE USER IF NOT EXISTS root@'127.0.0.1';\n\
             ALTER USER root@'127.0.0.1' IDENTIFIED BY '{quoted}';\nGRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;\n"
        );
        std::fs::write(&first, sql).unwrap();
        let decides = |given: &&&str| given.starts_with("--lower") || given.starts_with("--innodb");
        let made_with: Vec<String> = options.iter().filter(decides).map(|option| (*option).to_owned()).collect();
        if server.is_mariadb() {
            let mut arguments = vec!["--no-defaults".to_owned()];
            arguments.extend(made.options.iter().filter(|option| !option.starts_with("--lc")).cloned());
            arguments.extend(made_with);
            arguments.extend(["--auth-root-authentication-method=normal", "--skip-test-db"].map(str::to_owned));
            arguments.push(format!("--extra-file={}", first.display()));
            made.run(&format!("{}/mariadb-install-db", server.bin), &arguments);
        } else {
            let mut arguments = vec!["--no-defaults".to_owned()];
            arguments.extend(made.options.clone());
            arguments.extend(made_with);
            arguments.extend(["--initialize-insecure".to_owned(), format!("--init-file={}", first.display())]);
            made.run(&made.daemon(), &arguments);
        }
        let own = made.place.path().display().to_string();
        made.options.extend([
            format!("--socket={own}/socket"),
            format!("--pid-file={own}/pid"),
            format!("--tmpdir={own}"),
            format!("--port={free}"),
            format!("--log-error={own}/log"),
        ]);
        let common = [
            "--secure-file-priv=",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--local-infile=ON",
            "--server-id=7",
        ];
        made.options.extend(common.map(str::to_owned));
        made.options.extend(["--innodb-buffer-pool-size=32M", "--max-allowed-packet=64M"].map(str::to_owned));
        if !server.is_mariadb() {
            made.options.push("--mysqlx=OFF".to_owned());
        }
        made.options.extend(options.iter().map(|option| (*option).to_owned()));
        made.start();
        made
    }

    pub(crate) fn socket(&self) -> String {
        self.place.path().join("socket").display().to_string()
    }

    fn daemon(&self) -> String {
        let name = if self.server.is_mariadb() { "mariadbd" } else { "mysqld" };
        let base = Path::new(&self.server.bin).parent().unwrap();
        let places = ["sbin", "bin", "libexec"].map(|place| base.join(place).join(name));
        places.iter().find(|path| path.exists()).unwrap().to_str().unwrap().to_owned()
    }

    /// A command run as the user as whom the given server runs.
    fn command(&self, program: &str) -> Command {
        let mut command = match user() {
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={user}"), &format!("--regid={group}"), "--clear-groups", program]);
                command
            }
            None => Command::new(program),
        };
        let said = std::fs::File::options().create(true).append(true).open(self.place.path().join("said")).unwrap();
        command.env("LC_ALL", "C").current_dir(self.place.path());
        command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        command
    }

    fn run(&self, program: &str, arguments: &[String]) {
        let done = self.command(program).args(arguments).status().unwrap();
        let said = || std::fs::read_to_string(self.place.path().join("said")).unwrap();
        assert!(done.success(), "{program} {arguments:?}: {}", said());
    }

    pub(crate) fn start(&mut self) {
        let mut command = self.command(&self.daemon());
        self.process = Some(command.arg("--no-defaults").args(&self.options).spawn().unwrap());
        let begun = Instant::now();
        while let Err(error) = self.server.try_sql("", b"SELECT 1") {
            let read = |name| std::fs::read_to_string(self.place.path().join(name)).unwrap_or_default();
            let log = || read("said") + &read("log");
            assert!(begun.elapsed() < Duration::from_secs(30), "{error}\n{}", log());
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

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = self.server.try_sql("", b"SHUTDOWN");
            process.wait().unwrap();
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Who runs servers where that must not be root, and his group.
fn user() -> Option<(String, String)> {
    let id = Command::new("id").arg("-u").output().unwrap();
    if !id.stdout.starts_with(b"0\n") {
        return None;
    }
    let known = |user: &str| Command::new("id").arg(user).output().is_ok_and(|done| done.status.success());
    let user = if known("mysql") { "mysql" } else { "nobody" };
    let group = if user == "mysql" { "mysql" } else { "nogroup" };
    Some((user.to_owned(), group.to_owned()))
}

/// Lets the server write to a directory.
pub(crate) fn give_to_server(path: &Path) {
    if let Some((user, group)) = user() {
        let done = Command::new("chown").arg(format!("{user}:{group}")).arg(path).status().unwrap();
        assert!(done.success());
    }
}
