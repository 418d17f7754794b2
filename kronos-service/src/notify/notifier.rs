//! The notifier: what is known and what is sent, brought together.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::join_all;
use kronos_core::{Clock, Entropy, Error, ErrorKind, Id, Result, Timestamp};

use super::courier::{Courier, Post, Receipt};
use super::desk::{self, Channels, Errand, Ready};
use super::letter::{Contents, Letter};
use super::news::{self, News};
use super::redact::Redactor;
use super::settings::Channel;
use super::state::NotifyState;
use super::store::NotifyStore;
use crate::report::RunReport;

/// What a notifier needs of the world.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outside {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// The name of this machine, which messages tell.
    pub host: Option<String>,
    /// Who carries letters: by default [`Post`].
    pub courier: Arc<dyn Courier>,
}

impl Outside {
    /// Letters go over the network.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy, host: None, courier: Arc::new(Post) }
    }

    /// The same with the name of this machine.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The same with another courier.
    #[must_use]
    pub fn with_courier(mut self, courier: Arc<dyn Courier>) -> Self {
        self.courier = courier;
        self
    }
}

/// Tells people what has happened.
pub struct Notifier {
    channels: Arc<Channels>,
    store: Arc<dyn NotifyStore>,
    outside: Outside,
    redactor: Redactor,
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier")
            .field("channels", &self.channels.keys())
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// What became of letters.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Delivery {
    /// Letters that have arrived.
    pub delivered: u32,
    /// Letters that have not.
    pub undelivered: Vec<Undelivered>,
    /// What should be looked at although letters have arrived, one line each.
    pub remarks: Vec<String>,
    /// What is remembered could not be kept: a message may come twice.
    pub unkept: Option<Error>,
    /// When to deliver again; none when nothing is to be sent.
    pub next: Option<Timestamp>,
}

/// A letter that has not arrived.
#[derive(Debug)]
#[non_exhaustive]
pub struct Undelivered {
    /// The channel.
    pub channel: String,
    /// The way, such as `email`.
    pub way: String,
    /// Why.
    pub error: Error,
    /// When it is tried again; none when it is given up, which the next letter by this way tells.
    pub again: Option<Timestamp>,
}

/// Letters that one call sends by one way, at most.
const ROUNDS: usize = 20;

impl Notifier {
    /// Checks the channels. What is remembered is in the store.
    pub fn new(channels: Vec<Channel>, store: Arc<dyn NotifyStore>, outside: Outside) -> Result<Self> {
        let redactor = Redactor::new(channels.iter().flat_map(Channel::secrets));
        let mut ready = Channels::new();
        for channel in channels {
            channel.check().map_err(|error| redactor.error(&error))?;
            let quiet = channel.quiet()?;
            if let Some(before) = ready.insert(channel.name.clone(), Ready { channel, quiet }) {
                return Err(Error::new(ErrorKind::Config, "two channels for notifications have the same name")
                    .with("channel", before.channel.name));
            }
        }
        Ok(Self { channels: Arc::new(ready), store, outside, redactor })
    }

    /// Whether it has a channel of this name.
    pub fn knows(&self, channel: &str) -> bool {
        self.channels.contains_key(channel)
    }

    /// Tells that a run begins, for the dead man's switches of these channels.
    pub async fn begin(&self, report: &RunReport, to: &[String]) -> Result<()> {
        self.all_known(to)?;
        let (channels, to) = (Arc::clone(&self.channels), to.to_vec());
        let mut report = report.clone();
        news::map_report(&mut report, &|text| self.redactor.text(text));
        self.change(move |state| desk::begin(state, &channels, &report, &to)).await.1
    }

    /// Tells what has happened: to these channels, the ones of the job, as far as they want to hear of it.
    /// Nothing is sent before [`deliver`](Self::deliver) or [`finish`](Self::finish).
    ///
    /// After an error [`ErrorKind::Config`], which names a channel that is not there, nobody is told; after
    /// any other the channels are, but what is remembered could not be kept for other programs.
    pub async fn tell(&self, news: News, to: &[String]) -> Result<()> {
        self.all_known(to)?;
        let (channels, to, now) = (Arc::clone(&self.channels), to.to_vec(), self.outside.clock.now());
        let news = news.map_texts(&|text| self.redactor.text(text));
        self.change(move |state| desk::take_in(state, &channels, &news, &to, now)).await.1
    }

    /// Sends what is due: for a program that calls it again when [`Delivery::next`] has come, and after
    /// each [`tell`](Self::tell).
    pub async fn deliver(&self) -> Delivery {
        self.send(false).await
    }

    /// Sends what is due, and what only waits to become one message with others: for a program that ends
    /// now. What quiet hours or a failure hold back is sent by the next program that has the same store.
    pub async fn finish(&self) -> Delivery {
        self.send(true).await
    }

    /// Sends a message for a trial by each way of a channel, whatever it wants to hear of, and says for each
    /// how that went.
    pub async fn test(&self, channel: &str) -> Result<Vec<(String, Result<Receipt>)>> {
        let ready = self.channels.get(channel).ok_or_else(|| desk::unknown(&self.channels, channel))?;
        let mut id = Id([0; 16]);
        self.outside.entropy.fill(&mut id.0);
        let letter = self.letter(id, Contents::Test, 0);
        let letter = &letter;
        let sent = ready.channel.ways.iter().map(|way| async move {
            let outcome = self.outside.courier.deliver(&ready.channel, way, letter).await;
            (way.name().to_owned(), outcome.map_err(|error| self.redactor.error(&error)))
        });
        Ok(join_all(sent).await)
    }

    fn letter(&self, id: Id, contents: Contents, lost: u64) -> Letter {
        Letter { id, at: self.outside.clock.now(), host: self.outside.host.clone(), contents, lost }
    }

    async fn send(&self, hurry: bool) -> Delivery {
        let mut delivery = Delivery::default();
        for _ in 0..ROUNDS {
            let (channels, entropy) = (Arc::clone(&self.channels), Arc::clone(&self.outside.entropy));
            let now = self.outside.clock.now();
            let take = move |state: &mut NotifyState| {
                let errands = desk::take_due(state, &channels, now, hurry, &*entropy);
                (errands, desk::next(state, &channels, now))
            };
            let (taken, kept) = self.change(take).await;
            delivery.note(kept);
            let Some((errands, next)) = taken else { break };
            delivery.next = next;
            if errands.is_empty() {
                break;
            }
            self.carry(errands, &mut delivery).await;
        }
        delivery
    }

    /// Sends letters side by side, and notes how each fared as soon as that is known.
    async fn carry(&self, errands: Vec<Errand>, delivery: &mut Delivery) {
        let carried = errands.into_iter().map(|errand| async move {
            let channel = &self.channels[&errand.channel].channel;
            let letter = self.letter(errand.taken.id, errand.taken.contents.clone(), errand.taken.lost);
            let outcome = self.outside.courier.deliver(channel, &errand.way, &letter).await;
            let outcome = outcome.map_err(|error| self.redactor.error(&error));
            let (receipt, outcome) = match outcome {
                Ok(receipt) => (receipt, Ok(())),
                Err(error) => (Receipt::default(), Err(error)),
            };
            let (channels, entropy) = (Arc::clone(&self.channels), Arc::clone(&self.outside.entropy));
            let now = self.outside.clock.now();
            let (name, way) = (errand.channel.clone(), errand.outbox.clone());
            let settle = move |state: &mut NotifyState| {
                let again = desk::settle(state, &errand, &outcome, now, &*entropy);
                (outcome, again, desk::next(state, &channels, now))
            };
            (name, way, receipt, self.change(settle).await)
        });
        for (channel, way, receipt, (settled, kept)) in join_all(carried).await {
            delivery.note(kept);
            let remarks = receipt.remarks.iter().map(|remark| format!("{channel}: {}", self.redactor.text(remark)));
            delivery.remarks.extend(remarks);
            match settled {
                Some((Ok(()), _, next)) => {
                    delivery.delivered += 1;
                    delivery.next = next;
                }
                Some((Err(error), again, next)) => {
                    delivery.undelivered.push(Undelivered { channel, way, error, again });
                    delivery.next = next;
                }
                None => {}
            }
        }
    }

    fn all_known(&self, to: &[String]) -> Result<()> {
        match to.iter().find(|name| !self.channels.contains_key(*name)) {
            Some(name) => Err(desk::unknown(&self.channels, name)),
            None => Ok(()),
        }
    }

    /// Changes what is remembered; gives what the change gave, and whether that could be kept.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut NotifyState) -> T + Send + 'static,
    ) -> (Option<T>, Result<()>) {
        let slot = Arc::new(Mutex::new(None));
        let filled = Arc::clone(&slot);
        let kept = self
            .store
            .update(Box::new(move |state| {
                let result = change(state);
                *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            }))
            .await;
        let given = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        (given, kept)
    }
}

impl Delivery {
    fn note(&mut self, kept: Result<()>) {
        if let Err(error) = kept {
            self.unkept = Some(error);
        }
    }
}
