//! Who goes along with runs: hooks, notifications, the audit log, figures and the log, the same for a
//! run by hand and for one of the daemon.

use std::collections::BTreeMap;
use std::sync::Arc;

use kronos_core::{Result, SystemClock, SystemEntropy};
use kronos_service::audit::AuditLog;
use kronos_service::hooks::{HookSettings, Hooks};
use kronos_service::logs::LogFollower;
use kronos_service::metrics::{MetricsFollower, Names};
use kronos_service::notify::{Channel, Delivery, FileNotifyStore, Notifier, NotifyFollower, Outside};
use kronos_service::{Company, Config, Follower, in_full};

use crate::app::App;
use crate::config::variable;
use crate::state;

/// Those that are told of runs, by one configuration.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    pub(crate) notifier: Option<Arc<Notifier>>,
    pub(crate) audit: Option<AuditLog>,
    pub(crate) figures: Option<MetricsFollower>,
    hooks: BTreeMap<String, Hooks>,
    /// What could not be made ready, for whoever runs something.
    pub(crate) troubles: Vec<kronos_core::Error>,
}

impl Watchers {
    /// Those of a configuration. What cannot be made ready is left out, and told of: it must not keep a
    /// backup from being made.
    pub(crate) fn new(app: &App) -> Self {
        let config = &app.config;
        let mut watchers = Self::default();
        if config.files.is_empty() {
            return watchers;
        }
        let all = HookSettings::default();
        let hooks = config.jobs.iter().filter(|(_, job)| job.hooks != all);
        watchers.hooks = hooks.map(|(name, job)| (name.clone(), Hooks::new(job.hooks.clone(), &variable))).collect();
        let (notifier, audit) = (watchers.notifier(app), audit(app));
        watchers.notifier = watchers.kept("notifications", notifier).flatten();
        watchers.audit = watchers.kept("audit log", audit);
        let textfile = config.metrics.textfile.as_deref();
        watchers.figures = Some(MetricsFollower::new(app.metrics.clone(), names(config), textfile));
        watchers
    }

    fn kept<T>(&mut self, what: &str, made: Result<T>) -> Option<T> {
        made.map_err(|e| self.troubles.push(e.with("of", what))).ok()
    }

    /// A channel whose secrets cannot be had does not silence the others.
    fn notifier(&mut self, app: &App) -> Result<Option<Arc<Notifier>>> {
        let mut channels = Vec::new();
        for (name, notify) in &app.config.notify {
            let made = notify.channel(name, &variable).and_then(|channel| channel.check().map(|()| channel));
            channels.extend(self.kept("notifications", made));
        }
        if channels.is_empty() { Ok(None) } else { app.notifier(channels).map(|notifier| Some(Arc::new(notifier))) }
    }

    /// Who goes along with a backup of a job.
    pub(crate) fn company(&self, config: &Config, job: &str) -> Company {
        let channels = config.jobs.get(job).map(|job| job.notify.as_slice()).unwrap_or_default();
        Company { hooks: self.hooks.get(job).cloned(), followers: self.followers(channels) }
    }

    /// Who is told when somebody restores a backup of a job, which the configuration may not know (any
    /// more), or prunes.
    pub(crate) fn bystanders(&self, config: &Config, job: &str) -> Company {
        let all: Vec<String> = config.notify.keys().cloned().collect();
        let channels = config.jobs.get(job).map_or(all.as_slice(), |job| job.notify.as_slice());
        Company { hooks: None, followers: self.followers(channels) }
    }

    fn followers(&self, channels: &[String]) -> Vec<Arc<dyn Follower>> {
        // What has been said and done comes first: the way to a receiver may be long.
        let mut followers: Vec<Arc<dyn Follower>> = vec![Arc::new(LogFollower)];
        followers.extend(self.audit.clone().map(|audit| Arc::new(audit) as _));
        followers.extend(self.figures.clone().map(|figures| Arc::new(figures) as _));
        if let Some(notifier) = &self.notifier {
            // One that could not be made ready was told of.
            let to = channels.iter().filter(|name| notifier.knows(name)).cloned().collect();
            followers.push(Arc::new(NotifyFollower { notifier: Arc::clone(notifier), to }));
        }
        followers
    }

    /// Sends what waits for company: this program ends.
    pub(crate) async fn finish(&self) -> Vec<String> {
        match &self.notifier {
            Some(notifier) => untold(&notifier.finish().await),
            None => Vec::new(),
        }
    }
}

/// What a delivery has to say, one line each.
pub(crate) fn untold(delivery: &Delivery) -> Vec<String> {
    let lost = delivery.undelivered.iter();
    let mut lines: Vec<String> =
        lost.map(|lost| format!("{} by {}: {}", lost.channel, lost.way, in_full(&lost.error))).collect();
    lines.extend(delivery.remarks.iter().cloned());
    lines.extend(delivery.unkept.as_ref().map(in_full));
    lines
}

fn audit(app: &App) -> Result<AuditLog> {
    Ok(AuditLog::new(&app.audit_directory()?, state::who(), Arc::new(SystemClock)))
}

/// The names that become labels.
pub(crate) fn names(config: &Config) -> Names {
    Names {
        jobs: config.jobs.keys().cloned().collect(),
        storages: config.storages.keys().cloned().collect(),
        databases: config.databases.keys().cloned().collect(),
    }
}

impl App {
    /// Those that are told of runs; made ready when they are first needed.
    pub(crate) fn watchers(&self) -> &Watchers {
        self.watchers.get_or_init(|| {
            let watchers = Watchers::new(self);
            for trouble in &watchers.troubles {
                self.warn(&in_full(trouble));
            }
            watchers
        })
    }

    /// Tells by these channels.
    pub(crate) fn notifier(&self, channels: Vec<Channel>) -> Result<Notifier> {
        let store = Arc::new(FileNotifyStore::new(&self.state()?));
        let outside = Outside::new(Arc::new(SystemClock), Arc::new(SystemEntropy)).with_host(state::host());
        Notifier::new(channels, store, outside)
    }

    /// Ends what goes along with runs; that of the daemon has ended with its caretaker.
    pub(crate) async fn dismiss(&self) {
        if let Some(watchers) = self.watchers.get().filter(|_| !self.out.is_log()) {
            for line in watchers.finish().await {
                self.warn(&format!("notifications: {line}"));
            }
        }
    }
}
