//! A full disk: the error says so, and no half object is left. Needs to mount a tiny tmpfs, and
//! is ignored with a reason where that is not allowed.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use kronos_core::{ErrorKind, Key, StorageExt};
use libtest_mimic::{Arguments, Failed, Trial};

/// A file system of one megabyte, unmounted when this is dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Result<Self, String> {
        let place = tempfile::tempdir().map_err(|e| e.to_string())?;
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(place.path())
            .output()
            .map_err(|e| e.to_string())?;
        if output.status.success() {
            Ok(Self(place))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

fn main() {
    let arguments = Arguments::from_args();
    let trial = match Small::mount() {
        Ok(small) => Trial::test("a_full_disk_is_told_and_leaves_nothing", move || full(small.0.path())),
        Err(reason) if std::env::var_os("KRONOS_TEST_REQUIRE").is_some() => {
            Trial::test("a_full_disk_is_told_and_leaves_nothing", move || Err(Failed::from(reason)))
        }
        Err(reason) => {
            let name = format!("a_full_disk_is_told_and_leaves_nothing (no tmpfs: {reason})");
            Trial::test(name, || Ok(())).with_ignored_flag(true)
        }
    };
    libtest_mimic::run(&arguments, vec![trial]).exit();
}

fn full(root: &Path) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    runtime.block_on(async {
        let storage = kronos_storage::local(root)?;
        let (small, large) = (Key::new("a/small")?, Key::new("a/large")?);
        storage.put(&small, Bytes::from(vec![1; 1000])).await?;
        let megabytes = Bytes::from(vec![2; 2 << 20]);
        for error in [
            storage.put(&large, megabytes.clone()).await.expect_err("no room"),
            storage.put(&small, megabytes.clone()).await.expect_err("no room"),
            storage.put_if_absent(&large, megabytes.clone()).await.expect_err("no room"),
        ] {
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        }
        let mut upload = storage.begin_upload(&large).await?;
        assert_eq!(upload.write(megabytes).await.expect_err("no room").kind(), ErrorKind::StorageFull);
        assert!(upload.finish().await.is_err(), "an upload that lost a part cannot be finished");
        upload.abort().await?;
        let all = storage.list_all(None).await?;
        assert_eq!(all.iter().map(|m| m.key.as_str()).collect::<Vec<_>>(), ["a/small"]);
        assert_eq!(storage.get(&small).await?, vec![1; 1000], "what was there is whole");
        let free = storage.free_space().await?.expect("tmpfs knows it");
        assert!(free > 900_000, "the room was given back: {free}");
        storage.put(&large, Bytes::from(vec![3; 500_000])).await?;
        Ok(())
    })
}
