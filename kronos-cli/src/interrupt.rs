//! Ctrl-C and SIGTERM: the first asks for a clean stop, the second ends the process.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::errors::Exit;

/// Watches for signals until the runtime ends.
pub(crate) fn watch(app: &Arc<App>) {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    // Without the handlers the signals end the process at once, which a repository survives.
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return };
    let app = Arc::clone(app);
    tokio::spawn(async move {
        one_of(&mut interrupt, &mut terminate).await;
        app.out.note("stopping; once more to stop at once");
        app.run.cancel.cancel();
        one_of(&mut interrupt, &mut terminate).await;
        std::process::exit(Exit::Interrupted as i32);
    });
}

async fn one_of(a: &mut Signal, b: &mut Signal) {
    futures::future::select(Box::pin(a.recv()), Box::pin(b.recv())).await;
}
