//! How many requests are under way at a time: as many as the store bears. Each that succeeds lets a
//! few more in; one that the store turned away because it has too much to do halves them
//! (additive increase, multiplicative decrease, as TCP does).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What it begins with, at most.
const FIRST: usize = 32;
/// Requests that were turned away together halve it once.
const PAUSE: Duration = Duration::from_secs(1);

/// The requests of one storage.
#[derive(Debug)]
pub(crate) struct Crowd {
    places: Arc<Semaphore>,
    state: Mutex<State>,
    most: usize,
}

#[derive(Debug)]
struct State {
    /// How many may be under way.
    limit: usize,
    /// Places to be taken away once they are given back.
    owed: usize,
    /// Requests that went well since the limit rose.
    well: usize,
    halved: Option<Instant>,
}

/// One request under way.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Crowd {
    /// At most so many at a time.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let most = most.max(1);
        let limit = FIRST.min(most);
        let state = Mutex::new(State { limit, owed: 0, well: 0, halved: None });
        Arc::new(Self { places: Arc::new(Semaphore::new(limit)), state, most })
    }

    /// Waits for a place. It is given back when dropped.
    pub(crate) async fn enter(self: &Arc<Self>) -> Place {
        // The semaphore is never closed; without a permit the request would go all the same.
        let permit = Arc::clone(&self.places).acquire_owned().await.ok();
        Place { crowd: Arc::clone(self), permit }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request went well.
    pub(crate) fn went_well(&self) {
        let mut state = self.lock();
        state.well += 1;
        if state.well >= state.limit && state.limit < self.most {
            state.well = 0;
            state.limit += 1;
            if state.owed > 0 {
                state.owed -= 1;
            } else {
                self.places.add_permits(1);
            }
        }
    }

    /// The store has too much to do.
    pub(crate) fn was_turned_away(&self) {
        let mut state = self.lock();
        if state.halved.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        state.halved = Some(Instant::now());
        state.well = 0;
        let less = state.limit / 2;
        state.limit -= less;
        let taken = self.places.forget_permits(less);
        state.owed += less - taken;
    }

    #[cfg(test)]
    fn limit(&self) -> usize {
        self.lock().limit
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.crowd.lock();
        if state.owed > 0
            && let Some(permit) = self.permit.take()
        {
            state.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_grows_while_all_goes_well_and_is_halved_once_for_each_refusal() {
        let crowd = Crowd::new(64);
        for _ in 0..4_000 {
            crowd.went_well();
        }
        assert_eq!((crowd.limit(), crowd.places.available_permits()), (64, 64));
        let mut inside = Vec::new();
        for _ in 0..60 {
            inside.push(crowd.enter().await);
        }
        crowd.was_turned_away();
        crowd.was_turned_away();
        assert_eq!(crowd.limit(), 32, "two refusals of one moment count once");
        assert_eq!(crowd.places.available_permits(), 0);
        drop(inside);
        assert_eq!(crowd.places.available_permits(), 32, "places that were taken come off the limit");
        for _ in 0..32 {
            crowd.went_well();
        }
        assert_eq!((crowd.limit(), crowd.places.available_permits()), (33, 33));
    }

    #[tokio::test]
    async fn one_always_remains() {
        let crowd = Crowd::new(1);
        crowd.was_turned_away();
        let place = crowd.enter().await;
        drop(place);
        assert_eq!((crowd.limit(), crowd.places.available_permits()), (1, 1));
    }
}
