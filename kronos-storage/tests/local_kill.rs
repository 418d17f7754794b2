//! A writer that is killed at any moment leaves whole objects only. This program starts itself
//! as the writer and kills it again and again.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kronos_core::{Key, Storage, StorageExt, Timestamp};
use libtest_mimic::{Arguments, Failed, Trial};

const ROOT: &str = "KRONOS_TEST_KILL_ROOT";
const KILLS: u64 = 10;
const SIZE: usize = 300_000;
const OBJECTS: u64 = 2_000;

fn main() {
    if let Some(root) = std::env::var_os(ROOT) {
        return write_on(Path::new(&root));
    }
    let trial = Trial::test("every_object_that_a_killed_writer_left_is_whole", killed);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().build().expect("a runtime can be started")
}

/// An object whose every byte follows from its first one.
fn object(seed: u8) -> Bytes {
    Bytes::from(vec![seed; SIZE + usize::from(seed)])
}

fn is_whole(bytes: &Bytes) -> bool {
    bytes.first().is_some_and(|seed| *bytes == object(*seed))
}

/// Writes until it is killed; ends by itself should nobody come to do so, before the disk is full.
fn write_on(root: &Path) {
    runtime().block_on(async {
        let storage = kronos_storage::local(root).expect("a good path");
        let mut output = std::io::stdout();
        output.write_all(b"ready").and_then(|()| output.flush()).expect("the other end is open");
        for n in 0..OBJECTS {
            write(&storage, n).await.expect("the disk has room");
        }
    });
}

async fn write(storage: &Arc<dyn Storage>, n: u64) -> kronos_core::Result<()> {
    let bytes = object(u8::try_from(n % 251).expect("below 251"));
    storage.put(&Key::new(format!("put/{}", n % 5))?, bytes.clone()).await?;
    storage.put_if_absent(&Key::new(format!("absent/{n}-{}", std::process::id()))?, bytes.clone()).await?;
    let mut upload = storage.begin_upload(&Key::new(format!("upload/{}", n % 5))?).await?;
    upload.write(bytes.slice(..SIZE / 2)).await?;
    upload.write(bytes.slice(SIZE / 2..)).await?;
    upload.finish().await
}

fn killed() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let runtime = runtime();
    for kill in 0..KILLS {
        let mut child =
            Command::new(std::env::current_exe()?).env(ROOT, place.path()).stdout(Stdio::piped()).spawn()?;
        child.stdout.as_mut().ok_or("it has an output")?.read_exact(&mut [0; 5])?;
        std::thread::sleep(Duration::from_millis(20 + 17 * kill));
        child.kill()?;
        child.wait()?;
        runtime.block_on(look(place.path()))?;
    }
    runtime.block_on(async {
        let storage = kronos_storage::local(place.path())?;
        storage.remove_leftovers(Timestamp::from_micros(i64::MAX)).await?;
        assert_eq!(std::fs::read_dir(place.path().join("#staging"))?.count(), 0);
        assert!(!storage.list_all(None).await?.is_empty(), "the writer came to write something");
        Ok(())
    })
}

async fn look(root: &Path) -> Result<(), Failed> {
    let storage = kronos_storage::local(root)?;
    for found in storage.list_all(None).await? {
        let bytes = storage.get(&found.key).await?;
        assert!(is_whole(&bytes), "{} is not whole: {} bytes", found.key, bytes.len());
    }
    Ok(())
}
