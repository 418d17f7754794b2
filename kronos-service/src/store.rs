//! The job store: what the schedule has dealt with, which runs wait, go on and have ended, and why
//! a time that was due had no run of its own.
//!
//! Nothing here assumes one process. A run is claimed by an owner until a deadline that the owner
//! moves on while it lives (the heartbeat); once the deadline has passed, anybody may declare the
//! run interrupted. Times of the schedule are dealt with by comparing what was handled so far, so
//! that of two daemons one is told that it came too late.
//!
//! Three rules, upheld by every store:
//! 1. A task has at most one run that goes on, and at most one that waits.
//! 2. `handled` of a task moves forward only, and in one step with the run or the reasons that
//!    explain what it passes. [`JobStore::rewind`] alone takes it back, into another epoch.
//! 3. What a call has returned survives a kill of the process and a loss of power.

mod memory;
mod sqlite;
mod state;

use async_trait::async_trait;
use kronos_core::{Id, Result, Timestamp};

pub use memory::MemoryStore;
pub use sqlite::SqliteStore;
pub use state::{
    Adoption, Claimed, Outcome, Owner, RunRecord, RunState, Settled, Settlement, Skip, SkipReason, Task, TaskState,
};

/// How many ended runs, and how many reasons, a store keeps of each task unless told otherwise.
pub const HISTORY: usize = 1_000;

/// Where daemons and commands agree on what ran and what is to run.
#[async_trait]
pub trait JobStore: std::fmt::Debug + Send + Sync {
    /// All tasks that were ever adopted, in the order of their names.
    async fn tasks(&self) -> Result<Vec<TaskState>>;

    /// One of them.
    async fn task(&self, task: &Task) -> Result<Option<TaskState>>;

    /// Takes tasks into the schedule. What is new, was retired, or has another rule than before is
    /// handled up to `now`: it owes nothing.
    async fn adopt(&self, adoptions: &[Adoption], now: Timestamp) -> Result<()>;

    /// Takes tasks out of the schedule: what waits is dropped as removed. Runs and reasons stay.
    async fn retire(&self, tasks: &[Task], now: Timestamp) -> Result<()>;

    /// Deals with times that were due, each settlement wholly or not at all; says what became of
    /// each.
    async fn settle(&self, settlements: &[Settlement], now: Timestamp) -> Result<Vec<Settled>>;

    /// Begins a run that waits, for `owner`, until `until`.
    async fn claim(&self, run: Id, owner: &Owner, now: Timestamp, until: Timestamp) -> Result<Claimed>;

    /// Begins a run that nobody has queued, in the state [`RunState::Running`]. A task that is not
    /// known yet becomes known, without a rule.
    async fn begin(&self, run: &RunRecord) -> Result<Claimed>;

    /// Moves the deadline of a run on. False: the run is no longer `owner`'s.
    async fn renew(&self, run: Id, owner: Id, until: Timestamp) -> Result<bool>;

    /// Ends a run, and queues `next` unless another run waits already. False: the run is no longer
    /// `owner`'s, and nothing was changed.
    async fn end(&self, run: Id, owner: Id, at: Timestamp, outcome: &Outcome, next: Option<&RunRecord>)
    -> Result<bool>;

    /// All runs that wait, whoever queued them.
    async fn queued(&self) -> Result<Vec<RunRecord>>;

    /// Runs that go on and whose deadline lies before `now`.
    async fn expired(&self, now: Timestamp) -> Result<Vec<RunRecord>>;

    /// Declares a run interrupted whose deadline has passed, and queues `next` unless another run
    /// waits already. False: it was renewed, ended or interrupted meanwhile.
    async fn interrupt(&self, run: Id, now: Timestamp, next: Option<&RunRecord>) -> Result<bool>;

    /// Ends a run that waits without having begun. False: it does not wait.
    async fn drop_queued(&self, run: Id, at: Timestamp, why: SkipReason) -> Result<bool>;

    /// Pauses a task: until it is resumed, nothing of it begins by itself. An error of kind
    /// `NotFound` when the task is unknown.
    async fn pause(&self, task: &Task, now: Timestamp) -> Result<()>;

    /// Resumes a task. What was due while it was paused is explained by that. An error of kind
    /// `NotFound` when the task is unknown.
    async fn resume(&self, task: &Task, now: Timestamp) -> Result<()>;

    /// Begins another epoch of a task, handled up to `to`, after the clock was set back by so much
    /// that waiting for it would be wrong. False: `epoch` is not the task's any more.
    async fn rewind(&self, task: &Task, epoch: u32, to: Timestamp) -> Result<bool>;

    /// Runs, newest first, of one task or of all.
    async fn runs(&self, task: Option<&Task>, limit: usize) -> Result<Vec<RunRecord>>;

    /// Reasons, newest first, of one task or of all.
    async fn skips(&self, task: Option<&Task>, limit: usize) -> Result<Vec<Skip>>;
}
