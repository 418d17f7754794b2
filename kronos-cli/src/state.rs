//! What this machine remembers of runs: where it lies, and who is at work here.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kronos_core::{Error, ErrorKind, Result, SystemClock, SystemEntropy};
use kronos_service::audit::Who;
use kronos_service::daemon::{DaemonObserver, Parts, Runner, WallTimer};
use kronos_service::store::SqliteStore;

use crate::app::App;
use crate::config::variable;

/// Where a daemon of the system keeps its state.
const SYSTEM: &str = "/var/lib/kronos";

impl App {
    /// The directory of what is remembered; it is made when it is not there.
    pub(crate) fn state(&self) -> Result<PathBuf> {
        let directory = match &self.config.daemon.state {
            Some(directory) => directory.clone(),
            None => default_state()?,
        };
        made(&directory)?;
        Ok(directory)
    }

    /// The directory of the audit log; it is made when it is not there.
    pub(crate) fn audit_directory(&self) -> Result<PathBuf> {
        match &self.config.audit {
            Some(directory) => made(directory).map(|()| directory.clone()),
            None => self.state(),
        }
    }

    /// The job store of this machine.
    pub(crate) async fn job_store(&self) -> Result<SqliteStore> {
        SqliteStore::open(self.state()?.join("jobs.db")).await
    }
}

/// Where it lies when the configuration does not say so.
pub(crate) fn default_state() -> Result<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(state) = absolute("XDG_STATE_HOME") {
        return Ok(state.join("kronos"));
    }
    let (system, user) = (Path::new(SYSTEM), rustix::process::geteuid());
    let owned = std::fs::metadata(system).is_ok_and(|found| found.is_dir() && found.uid() == user.as_raw());
    if owned || user.is_root() {
        return Ok(system.to_owned());
    }
    absolute("HOME").map(|home| home.join(".local/state/kronos")).ok_or_else(|| {
        Error::new(ErrorKind::Config, "there is no place for what is remembered of runs")
            .with("hint", "name a directory as `daemon.state` in the configuration")
    })
}

/// Others have no business there: it tells what this machine has.
fn made(directory: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|e| {
        Error::new(ErrorKind::from(e.kind()), "the directory of what is remembered cannot be made")
            .with("path", directory.display())
            .with("hint", "name another one as `daemon.state` in the configuration")
            .with_source(e)
    })
}

/// Who runs this program.
pub(crate) fn who() -> Who {
    let user = uzers::get_current_uid();
    let name = uzers::get_user_by_uid(user).map(|user| user.name().to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| format!("uid {user}"));
    let user = match variable("SUDO_USER").filter(|sudo| *sudo != name && !sudo.is_empty()) {
        Some(sudo) => format!("{name} by sudo of {sudo}"),
        None => name,
    };
    Who { user: Some(user), host: Some(host()), pid: std::process::id() }
}

/// The name of this machine.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What runs of this program are made with.
pub(crate) fn parts(
    program: &str,
    store: Arc<SqliteStore>,
    runner: Arc<dyn Runner>,
    observer: Arc<dyn DaemonObserver>,
) -> Parts {
    let clock = Arc::new(SystemClock);
    Parts {
        store,
        runner,
        timer: Arc::new(WallTimer::new(clock.clone())),
        clock,
        entropy: Arc::new(SystemEntropy),
        observer,
        name: owner(program),
    }
}

/// What is told of a run that goes on here.
fn owner(program: &str) -> String {
    let who = who();
    let user = who.user.unwrap_or_default();
    format!("{program} of {user} on {}, process {}", who.host.unwrap_or_default(), who.pid)
}
