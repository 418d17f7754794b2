//! What goes wrong, when, and how often.

use std::sync::{Mutex, PoisonError};

use kronos_core::{Error, ErrorKind, Retry};

/// Something that goes wrong on purpose. Bytes are counted over all streams of one dump or restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// `begin_dump` and `begin_restore` fail, and `test_connection` reports it.
    Connect(ErrorKind),
    /// A stream ends in an error before it goes beyond this many bytes.
    Read {
        /// Bytes that go out before it.
        after: u64,
        /// The kind of the error.
        kind: ErrorKind,
    },
    /// A stream stops without its end mark before it goes beyond this many bytes.
    Stop {
        /// Bytes that go out before it.
        after: u64,
    },
    /// The end mark of every stream is of other bytes than went out.
    WrongEnd,
    /// The run's own token is cancelled, as by a user, once this many bytes have gone out or come in.
    Cancel {
        /// Bytes before it.
        after: u64,
    },
    /// The dump fails at its end, although every byte has gone out.
    Finish(ErrorKind),
    /// Writing fails in a restore before it goes beyond this many bytes.
    Write {
        /// Bytes that come in before it.
        after: u64,
        /// The kind of the error.
        kind: ErrorKind,
    },
    /// The restore fails at its end, before anything is put into place.
    Place(ErrorKind),
}

impl Fault {
    pub(super) fn concerns_dumps(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Stop { .. } | Self::WrongEnd | Self::Cancel { .. } | Self::Finish(_))
    }

    pub(super) fn concerns_restores(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Place(_) | Self::Cancel { .. })
    }
}

/// An error of that kind, which says whether it would pass in a real engine.
pub(super) fn failure(kind: ErrorKind, message: &str) -> Error {
    let passing = matches!(
        kind,
        ErrorKind::ConnectionFailed
            | ErrorKind::Timeout
            | ErrorKind::PoolExhausted
            | ErrorKind::Locked
            | ErrorKind::Conflict
            | ErrorKind::Io
    );
    Error::new(kind, message).with_retry(if passing { Retry::Later } else { Retry::Never })
}

/// The faults that are still to come, with how often they do; `None` is always.
#[derive(Debug, Default)]
pub(super) struct Script(Mutex<Vec<(Fault, Option<u32>)>>);

impl Script {
    pub(super) fn add(&self, fault: Fault, times: Option<u32>) {
        self.lock().push((fault, times));
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// The faults that this attempt meets; each of them has come once more.
    pub(super) fn draw(&self, concerned: impl Fn(&Fault) -> bool) -> Vec<Fault> {
        let mut faults = self.lock();
        let mut drawn = Vec::new();
        for (fault, times) in faults.iter_mut().filter(|(fault, _)| concerned(fault)) {
            match times {
                Some(0) => continue,
                Some(left) => *left -= 1,
                None => {}
            }
            drawn.push(*fault);
        }
        faults.retain(|(_, times)| *times != Some(0));
        drawn
    }

    /// The first fault of a kind, which has not come by this.
    pub(super) fn peek<T>(&self, of: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.lock().iter().find_map(|(fault, _)| of(fault))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Fault, Option<u32>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_comes_as_often_as_it_should() {
        let script = Script::default();
        script.add(Fault::WrongEnd, Some(2));
        script.add(Fault::Finish(ErrorKind::Io), None);
        script.add(Fault::Place(ErrorKind::Io), Some(1));
        let drawn: Vec<usize> = (0..4).map(|_| script.draw(Fault::concerns_dumps).len()).collect();
        assert_eq!(drawn, [2, 2, 1, 1]);
        assert_eq!(script.draw(Fault::concerns_restores), [Fault::Place(ErrorKind::Io)]);
        script.clear();
        assert!(script.draw(|_| true).is_empty());
    }
}
