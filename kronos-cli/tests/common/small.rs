//! A file system that is soon full.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

/// A file system of some megabytes, unmounted when this is dropped.
#[derive(Debug)]
pub struct Small {
    pub at: PathBuf,
}

impl Small {
    pub fn mount(at: PathBuf, megabytes: u32) -> Result<Self, String> {
        fs::create_dir_all(&at).map_err(|e| e.to_string())?;
        mount(&["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs", at.to_str().unwrap_or_default()])?;
        Ok(Self { at })
    }

    pub fn grow(&self, megabytes: u32) {
        mount(&["-o", &format!("remount,size={megabytes}m"), self.at.to_str().unwrap()]).unwrap();
    }

    /// Takes all room that is left.
    pub fn fill(&self) -> PathBuf {
        let path = self.at.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).status();
    }
}

/// Tests that mount one, as they are; where that is not allowed they are ignored with the reason, or
/// fail where it is required.
pub fn mounting(tests: Vec<Trial>) -> Vec<Trial> {
    let probe = tempfile::tempdir().unwrap();
    let Err(reason) = Small::mount(probe.path().join("small"), 1) else { return tests };
    let is_required = std::env::var_os("KRONOS_TEST_REQUIRE").is_some();
    let instead = |test: Trial| {
        if test.has_ignored_flag() {
            test
        } else if is_required {
            let failed = Failed::from(reason.clone());
            Trial::test(test.name(), || Err(failed))
        } else {
            Trial::test(format!("{} (no tmpfs: {reason})", test.name()), || Ok(())).with_ignored_flag(true)
        }
    };
    tests.into_iter().map(instead).collect()
}

fn mount(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("mount").args(arguments).output().map_err(|e| e.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}
