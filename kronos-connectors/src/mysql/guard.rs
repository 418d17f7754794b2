//! The session that keeps tables from being changed while they are read (MySQL). The server is told
//! again and again that someone is there: of a client who vanished it would keep the lock for hours.

use std::sync::Arc;
use std::time::Duration;

use kronos_core::Result;
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::connect::Session;

const WHAT: &str = "keep tables from being changed";
/// It is told so often before the server would end the session.
const TIMES: u32 = 3;

/// A lock that is held until it is released or dropped.
#[derive(Debug)]
pub(super) struct Guard {
    session: Arc<Mutex<Option<Session>>>,
    /// Ends with the guard.
    _beat: Option<AbortOnDropHandle<()>>,
}

impl Guard {
    /// Takes the lock.
    pub(super) async fn lock(session: &mut Session) -> Result<()> {
        patience(session, session.wait).await?;
        session.run(WHAT, "LOCK INSTANCE FOR BACKUP").await
    }

    /// Keeps it.
    pub(super) fn keep(session: Option<Session>) -> Self {
        let wait = session.as_ref().map(|session| session.wait);
        let session = Arc::new(Mutex::new(session));
        let kept = session.clone();
        let beat = wait.map(|wait| {
            AbortOnDropHandle::new(tokio::spawn(async move {
                loop {
                    tokio::time::sleep(wait / TIMES).await;
                    let mut session = kept.lock().await;
                    let Some(held) = session.as_mut() else { return };
                    // A lock that is lost is no harm: of every table it is looked whether it was changed.
                    if held.run(WHAT, "DO 1").await.is_err() {
                        *session = None;
                        return;
                    }
                }
            }))
        });
        Self { session, _beat: beat }
    }

    pub(super) async fn release(&self) {
        if let Some(session) = self.session.lock().await.take() {
            session.close().await;
        }
    }
}

/// For so long the server keeps a session of which it hears nothing.
pub(super) async fn patience(session: &mut Session, wait: Duration) -> Result<()> {
    session.run("prepare the session", &format!("SET SESSION wait_timeout = {}", wait.as_secs().max(1))).await
}
