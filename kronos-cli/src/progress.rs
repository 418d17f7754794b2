//! Turns the events of the library into progress bars, or into plain lines.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use kronos_core::{Event, Observer};

use crate::output::Output;
use crate::units::bytes;

/// Shows one operation.
pub(crate) struct Progress {
    out: Arc<Output>,
    bar: Mutex<Option<ProgressBar>>,
    /// A warning of the library was seen: something in the repository is not as it should be.
    warned: Arc<AtomicBool>,
}

impl Progress {
    pub(crate) fn new(out: Arc<Output>, warned: Arc<AtomicBool>) -> Self {
        Self { out, bar: Mutex::new(None), warned }
    }

    fn begin(&self, title: String) {
        if self.out.draws() {
            let bar = self.out.bars().add(ProgressBar::new_spinner());
            bar.set_style(style("{spinner} {msg}  {bytes}  {binary_bytes_per_sec}"));
            bar.set_message(title);
            bar.enable_steady_tick(Duration::from_millis(120));
            self.set(Some(bar));
        } else {
            self.out.note(&title);
        }
    }

    fn set(&self, new: Option<ProgressBar>) {
        let old = std::mem::replace(&mut *self.bar.lock().unwrap_or_else(PoisonError::into_inner), new);
        if let Some(old) = old {
            old.finish_and_clear();
        }
    }

    fn with_bar(&self, change: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            change(bar);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

impl Observer for Progress {
    fn on_event(&self, event: &Event) {
        match event {
            Event::Started { operation, subject } => self.begin(format!("{operation} {subject}")),
            Event::Estimated { bytes: total } if !self.out.draws() => {
                self.out.note(&format!("  about {}", bytes(*total)));
            }
            Event::Estimated { bytes: total } => self.with_bar(|bar| {
                bar.set_length(*total);
                let template =
                    "{spinner} {msg}  [{bar:24}]  {bytes} of {total_bytes}  {binary_bytes_per_sec}  {eta} left";
                bar.set_style(style(template));
            }),
            Event::StreamStarted { name } => self.out.detail(&format!("  {name} …")),
            Event::StreamFinished { name, bytes: n } => self.out.detail(&format!("  {name}: {}", bytes(*n))),
            Event::Progress { bytes, .. } => self.with_bar(|bar| bar.inc(*bytes)),
            Event::Retrying { what, attempt, error } => {
                self.out.note(&format!("trying again to {what} after attempt {attempt}: {error}"));
            }
            Event::StorageLost { storage, error } => self.out.note(&format!("going on without {storage}: {error}")),
            Event::Notice { message } => self.out.note(message),
            Event::Warning { message } => {
                self.warned.store(true, Ordering::Relaxed);
                self.out.warn(message);
            }
            Event::Finished { .. } => self.set(None),
            _ => {}
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.set(None);
    }
}
