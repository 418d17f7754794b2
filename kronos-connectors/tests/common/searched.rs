//! A program of tests that runs itself once more and reads along: all that it says, and all that is
//! logged in it on any level, is searched for every secret that was used.
#![allow(unreachable_pub, reason = "each test program uses its part")]

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Trial};

/// Where the one that is run keeps what is logged, and its secrets.
const PLACE: &str = "KRONOS_TEST_SAID";
/// Logged first, so that a log in which nothing is found is known to be one.
const MARK: &str = "kronos listens to what is logged";

/// Runs the tests, and says whether all went well and no secret was shown.
pub fn main(trials: impl FnOnce() -> Vec<Trial>) -> ExitCode {
    let arguments = Arguments::from_args();
    if let Some(place) = std::env::var_os(PLACE) {
        listen(Path::new(&place));
        return libtest_mimic::run(&arguments, trials()).exit_code();
    }
    if arguments.list {
        return libtest_mimic::run(&arguments, trials()).exit_code();
    }
    let place = tempfile::Builder::new().prefix("kronos-said-").tempdir().unwrap();
    let mut inner = Command::new(std::env::current_exe().unwrap())
        .args(std::env::args_os().skip(1))
        .env(PLACE, place.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (out, err) = (inner.stdout.take().unwrap(), inner.stderr.take().unwrap());
    let err = std::thread::spawn(|| passed_on(err, std::io::stderr()));
    let said = [("stdout", passed_on(out, std::io::stdout())), ("stderr", err.join().unwrap())];
    let is_good = inner.wait().unwrap().success();
    let shown = search(place.path(), &said);
    if shown.is_empty() {
        return if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let _ = writeln!(std::io::stderr(), "secrets are shown:\n{}", shown.join("\n"));
    ExitCode::FAILURE
}

/// Gives on what is read, and keeps it.
fn passed_on(mut from: impl Read, mut into: impl Write) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let read = from.read(&mut piece).unwrap();
        if read == 0 {
            return all;
        }
        let _ = into.write_all(&piece[..read]).and_then(|()| into.flush());
        all.extend_from_slice(&piece[..read]);
    }
}

/// What shows a secret, without it.
fn search(place: &Path, said: &[(&str, Vec<u8>)]) -> Vec<String> {
    let forms: Vec<String> = secrets(place).iter().flat_map(|secret| forms(secret)).collect();
    let mut shown = Vec::new();
    let mut look = |from: &str, line: &str| {
        let lower = line.to_lowercase();
        if let Some(form) = forms.iter().find(|form| lower.contains(form.as_str())) {
            shown.push(format!("{from}: {}", lower.replace(form.as_str(), "<secret>")));
        }
    };
    for (from, bytes) in said {
        String::from_utf8_lossy(bytes).lines().for_each(|line| look(from, line));
    }
    let mut marks = 0;
    let mut log = BufReader::new(File::open(place.join("log")).unwrap());
    let mut line = Vec::new();
    while log.read_until(b'\n', &mut line).unwrap() > 0 {
        let text = String::from_utf8_lossy(&line);
        marks += usize::from(text.contains(MARK));
        look("logged", text.trim_end());
        line.clear();
    }
    if marks != 2 {
        shown.push(format!("not known: of two ways to log, {marks} were listened to"));
    }
    shown
}

/// Those of the servers, and those that the tests have made.
fn secrets(place: &Path) -> Vec<String> {
    let of_servers = std::env::vars()
        .filter(|(name, _)| name.starts_with("KRONOS_TEST_") && name.ends_with("_PASSWORD"))
        .map(|(_, value)| value);
    let made = std::fs::read_to_string(place.join("secrets")).unwrap_or_default();
    of_servers.chain(made.lines().map(str::to_owned)).collect()
}

/// How a secret may be written, in small letters: as it is, as texts of SQL and of Rust have it, as
/// connection strings have it, and as bytes are shown.
pub fn forms(secret: &str) -> Vec<String> {
    let (mut hex, mut percent) = (String::new(), String::new());
    for byte in secret.bytes() {
        write!(hex, "{byte:02x}").unwrap();
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => percent.push(byte.into()),
            _ => write!(percent, "%{byte:02x}").unwrap(),
        }
    }
    let bytes: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
    let debugged = format!("{secret:?}");
    let mut all = vec![
        secret.to_owned(),
        secret.replace('\'', "''"),
        secret.replace('\'', "\\'"),
        debugged.trim_matches('"').to_owned(),
        percent,
        hex,
        bytes.join(", "),
    ];
    for form in &mut all {
        *form = form.to_lowercase();
    }
    all.sort();
    all.dedup();
    all
}

/// A secret that is used from now on.
#[allow(dead_code, reason = "each test program uses its part")]
pub fn used(secret: &str) {
    let place = PathBuf::from(std::env::var_os(PLACE).unwrap());
    let mut file = OpenOptions::new().create(true).append(true).open(place.join("secrets")).unwrap();
    file.write_all(format!("{secret}\n").as_bytes()).unwrap();
}

/// Hears what is logged by either of the two ways that libraries have.
struct Ear;

static LOG: OnceLock<File> = OnceLock::new();

impl Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.get().unwrap().write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl log::Log for Ear {
    fn enabled(&self, about: &log::Metadata<'_>) -> bool {
        // The parser of statements logs each of its steps on the level DEBUG, which nothing but the
        // program that listens can keep it from; docs/inspect.md says so.
        about.target() != "sqlparser" && !about.target().starts_with("sqlparser::")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}: {}\n", record.level(), record.target(), record.args());
            LOG.get().unwrap().write_all(line.as_bytes()).unwrap();
        }
    }

    fn flush(&self) {}
}

fn listen(place: &Path) {
    let log = OpenOptions::new().create_new(true).append(true).open(place.join("log")).unwrap();
    LOG.set(log).unwrap();
    let all = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    tracing::subscriber::set_global_default(all.with_writer(|| Ear).finish()).unwrap();
    log::set_logger(&Ear).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    tracing::trace!("{MARK}");
    log::trace!("{MARK}");
}
