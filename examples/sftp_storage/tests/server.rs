//! The server for tests, as `scripts/servers` names it in the environment, and tests that are ignored,
//! with the reason, where there is none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kronos_core::{Registry, Storage, StorageSettings};
use libtest_mimic::{Failed, Trial};

/// A directory on the server for tests, and how to log in.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    endpoint: String,
    directory: String,
    ssh: String,
    options: BTreeMap<String, String>,
}

pub(crate) fn variable(name: &str) -> Result<String, String> {
    let name = format!("KRONOS_TEST_SFTP_{name}");
    std::env::var(&name).map_err(|_| format!("{name} is not set: scripts/servers"))
}

impl Place {
    pub(crate) fn named() -> Result<Self, String> {
        Ok(Self {
            endpoint: variable("ENDPOINT")?,
            directory: variable("DIRECTORY")?,
            ssh: variable("SSH")?,
            options: [("identity", "KEY"), ("known_hosts", "KNOWN_HOSTS")]
                .into_iter()
                .map(|(option, name)| Ok((option.to_owned(), variable(name)?)))
                .collect::<Result<_, String>>()?,
        })
    }

    /// The same with another option.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.options.insert(name.to_owned(), value.into());
        self
    }

    /// A registry whose `ssh` reads no configuration of this machine.
    pub(crate) fn registry(&self) -> Registry {
        crate::registry([&*self.ssh, "-F", "none"].map(str::to_owned).into())
    }

    /// A directory where nobody has been before, as its URL without options.
    pub(crate) fn new_location(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        self.location_of(&Path::new(&self.directory).join(format!("t{now}-{}-{n}", std::process::id())))
    }

    /// A directory of the machine, which is also the server's.
    pub(crate) fn location_of(&self, directory: &Path) -> String {
        format!("{}{}", self.endpoint.strip_prefix("sftp://").unwrap(), directory.display())
    }

    /// The server's process, also if it was started again.
    pub(crate) fn process(&self) -> u64 {
        let record = Path::new(&self.directory).with_file_name("record.json");
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
        record["pid"].as_u64().unwrap()
    }

    /// The storage there.
    pub(crate) fn open(&self, location: &str) -> Arc<dyn Storage> {
        let settings = StorageSettings { location: location.to_owned(), options: self.options.clone() };
        self.registry().storage("sftp", &settings).unwrap()
    }

    pub(crate) fn fresh(&self) -> Arc<dyn Storage> {
        self.open(&self.new_location())
    }

    /// The URL of a location with all options.
    pub(crate) fn url(&self, location: &str) -> String {
        let options: Vec<String> = self.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("sftp://{location}?{}", options.join("&"))
    }
}

/// The directory that a location means.
pub(crate) fn on_disk(location: &str) -> PathBuf {
    PathBuf::from(&location[location.find('/').unwrap()..])
}

/// A file system of a few megabytes, unmounted when this is dropped.
pub(crate) struct Small(tempfile::TempDir);

impl Small {
    pub(crate) fn mount() -> Result<Self, String> {
        let place = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(place.path()).output();
        match mount {
            Ok(output) if output.status.success() => Ok(Self(place)),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(format!("no tmpfs: {}", said.lines().next().unwrap_or_default()))
            }
            Err(e) => Err(format!("no tmpfs: {e}")),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// A test on the server: ignored with the reason where there is none, unless it is required.
pub(crate) fn on_the_server(name: &str, test: impl FnOnce(Place) + Send + 'static) -> Trial {
    match Place::named() {
        Ok(place) => Trial::test(name, move || {
            test(place);
            Ok(())
        }),
        Err(reason) if is_required() => Trial::test(name, move || Err(Failed::from(reason))),
        Err(reason) => Trial::test(format!("{name} ({reason})"), || Ok(())).with_ignored_flag(true),
    }
}

/// Whether tests on this server must not be left out.
fn is_required() -> bool {
    let required = std::env::var("KRONOS_TEST_REQUIRE").unwrap_or_default();
    required.split([',', ' ']).any(|name| name == "sftp" || name == "all")
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}
