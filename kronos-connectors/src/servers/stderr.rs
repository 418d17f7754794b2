//! What a program says while it runs.

use tokio::io::{AsyncReadExt, BufReader};
use tokio::process::ChildStderr;

/// So much of what a program says on stderr is kept: the end.
const KEPT: usize = 64 << 10;

/// All of it; of much the end.
pub(crate) async fn listen(stderr: Option<ChildStderr>) -> String {
    let Some(stderr) = stderr else { return String::new() };
    let (mut reader, mut kept, mut some) = (BufReader::new(stderr), Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = reader.read(&mut some).await {
        kept.extend_from_slice(&some[..read]);
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}
