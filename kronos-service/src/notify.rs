//! Who is told of what has happened, and how: Slack, webhooks, mail and dead man's switches.
//!
//! A [`Notifier`] is handed every [`RunReport`](crate::RunReport). It compares it with what it remembers of
//! the job and decides which of its [`Channel`]s are told what; [`Notifier::deliver`] sends what is due,
//! and what could not be sent before. Nothing of it ever fails a backup: callers show its errors.
//!
//! ```
//! use std::sync::Arc;
//!
//! use kronos_core::{Id, Secret, SystemClock, SystemEntropy, Timestamp};
//! use kronos_service::notify::{Channel, MemoryNotifyStore, News, Notifier, Outside, Slack, Way};
//! use kronos_service::{Ended, Operation, RunReport, Trigger};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let webhook = Secret::new("https://hooks.slack.example/services/T0/B0/secret");
//! let ops = Channel::new("ops", vec![Way::Slack(Slack { webhook })]);
//! let outside = Outside::new(Arc::new(SystemClock), Arc::new(SystemEntropy)).with_host("db1");
//! let notifier = Notifier::new(vec![ops], Arc::new(MemoryNotifyStore::default()), outside)?;
//!
//! let mut report =
//!     RunReport::begin(Id([7; 16]), Operation::Backup, "shop", Trigger::Schedule, Timestamp::from_micros(0));
//! report.ended = Ended::Succeeded;
//! notifier.tell(News::Ended(report), &["ops".to_owned()]).await?;
//! // Nobody wants to hear of a backup that was made.
//! let delivery = notifier.deliver().await;
//! assert_eq!((delivery.delivered, delivery.next), (0, None));
//! # Ok::<(), kronos_core::Error>(())
//! # }).unwrap();
//! ```

mod courier;
mod desk;
mod follow;
mod hidden;
mod history;
mod letter;
mod news;
mod notice;
mod notifier;
mod occasion;
mod outbox;
mod policy;
mod quiet;
mod redact;
#[cfg_attr(not(feature = "notify"), expect(dead_code, reason = "nothing is sent"))]
mod render;
// With the feature, the ways over the network; without it, what says so.
#[cfg_attr(not(feature = "notify"), path = "notify/send/left_out.rs")]
mod send;
mod settings;
mod state;
mod store;

pub use self::courier::{Courier, Post, Receipt};
pub use self::follow::NotifyFollower;
pub use self::letter::{Contents, Letter, PingKind, PingSignal};
pub use self::news::{CaptureGap, Missed, News};
pub use self::notice::Notice;
pub use self::notifier::{Delivery, Notifier, Outside, Undelivered};
pub use self::occasion::{Occasion, Severity};
pub use self::settings::{Channel, Email, Ping, QuietHours, Slack, Way, Webhook};
pub use self::state::NotifyState;
pub use self::store::{Change, FileNotifyStore, MemoryNotifyStore, NotifyStore};
