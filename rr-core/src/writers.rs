//! Writes that wait for a primary: first come, first served.
//!
//! While nobody waits this costs a write one load of an atomic. Whoever finds no primary, or cannot connect to it, takes a
//! place at the end of the queue; so does whoever comes while others wait. Each publication of the monitor says whether
//! the gate is open, and then the first are let through, each with a *pass* that it gives back as soon as it has a
//! connection. There are as many passes as the primary's pool has connections: a released storm waits here, in order and
//! for as long as it may, and not in the pool.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::time::Moment;
use crate::topology::{Epoch, NodeId, Topology};

/// A primary that answers and cannot be connected to is tried again after pauses that double up to this one.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// The queue of a router.
#[derive(Debug)]
pub(crate) struct Writers {
    limit: usize,
    /// As in the state, for those who only look.
    waiting: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Word>>,
    /// Let through, and without a connection so far.
    passes: u32,
    seen: Seen,
    refused: Option<Refused>,
    /// How often in a row a connection was refused.
    streak: u32,
    /// How many were served since somebody began to wait.
    served: u64,
}

/// What the last publication says about the primary.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// None, for now.
    Nobody,
    /// None, and more waiting is in vain.
    Hopeless,
    Primary {
        node: NodeId,
        epoch: Epoch,
        sampled_at: Option<Moment>,
        /// Connections of its pool.
        max: u32,
    },
}

/// A primary that could not be connected to: not to be tried again before it has answered after this moment.
#[derive(Clone, Copy, Debug)]
struct Refused {
    node: NodeId,
    epoch: Epoch,
    until: Moment,
}

/// What one who waits is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Here is a pass.
    Go,
    /// Look for yourself, and wait no more.
    Futile,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Writers {
    pub(crate) fn new(limit: u32) -> Self {
        let state = State {
            next: 0,
            waiting: BTreeMap::new(),
            passes: 0,
            seen: Seen::Nobody,
            refused: None,
            streak: 0,
            served: 0,
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, waiting: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go on whom the state allows to, and ends a change of it.
    fn settle(&self, mut state: MutexGuard<'_, State>) {
        let before = self.waiting.load(Ordering::Acquire);
        state.admit();
        let now = state.waiting.len();
        self.waiting.store(now, Ordering::Release);
        let served = if now == 0 { std::mem::take(&mut state.served) } else { 0 };
        drop(state);
        match (before, now) {
            (0, 1..) => tracing::info!(target: "rr", "writes wait for a primary"),
            (1.., 0) => tracing::info!(target: "rr", served, "no write waits for a primary any more"),
            _ => {}
        }
    }

    /// Takes in what was published.
    pub(crate) fn look(&self, topology: &Topology, max: impl FnOnce(NodeId) -> u32) {
        let mut state = self.state();
        state.seen = match topology.primary() {
            Ok(primary) => Seen::Primary {
                node: primary.id,
                epoch: topology.epoch(),
                sampled_at: primary.sampled_at,
                max: max(primary.id).max(1),
            },
            Err(why) if why.may_pass() => Seen::Nobody,
            Err(_) => Seen::Hopeless,
        };
        self.settle(state);
    }

    /// Nobody publishes any more: whoever waits is told so.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.seen = Seen::Hopeless;
        self.settle(state);
    }

    /// Takes a place: at the end, or the one that the caller had before.
    pub(crate) fn enter(self: &Arc<Self>, place: Option<u64>) -> Result<Ticket, Full> {
        let (sender, word) = oneshot::channel();
        let mut state = self.state();
        let place = match place {
            Some(place) => place,
            None if state.waiting.len() >= self.limit => return Err(Full),
            None => {
                state.next += 1;
                state.next
            }
        };
        state.waiting.insert(place, sender);
        self.settle(state);
        Ok(Ticket { writers: Arc::clone(self), place, word: Some(word) })
    }

    /// Whether there is a primary that could not be connected to, and has not answered since.
    pub(crate) fn is_refused(&self) -> bool {
        let state = self.state();
        matches!(state.seen, Seen::Primary { .. }) && !state.is_open()
    }

    /// The primary of this epoch could not be connected to.
    pub(crate) fn refused(&self, node: NodeId, epoch: Epoch, now: Moment) {
        let mut state = self.state();
        let pause = 2_u32.checked_pow(state.streak).map_or(LONGEST_PAUSE, |factor| {
            Duration::from_millis(1).saturating_mul(factor - 1).min(LONGEST_PAUSE)
        });
        // Those who were let through together fail together.
        if state.refused.is_none_or(|refused| refused.until < now) {
            state.streak = state.streak.saturating_add(1);
        }
        state.refused = Some(Refused { node, epoch, until: now + pause });
    }
}

impl State {
    fn is_open(&self) -> bool {
        match (self.seen, self.refused) {
            (Seen::Primary { .. }, None) => true,
            (Seen::Primary { node, epoch, sampled_at, .. }, Some(refused)) => {
                (node, epoch) != (refused.node, refused.epoch)
                    || sampled_at.is_some_and(|at| at > refused.until)
            }
            (Seen::Nobody | Seen::Hopeless, _) => false,
        }
    }

    fn admit(&mut self) {
        match self.seen {
            Seen::Hopeless => {
                for (_, sender) in std::mem::take(&mut self.waiting) {
                    let _told = sender.send(Word::Futile);
                }
            }
            Seen::Primary { max, .. } if self.is_open() => {
                while self.passes < max
                    && let Some((_, sender)) = self.waiting.pop_first()
                {
                    // Whoever has given up takes no pass.
                    if sender.send(Word::Go).is_ok() {
                        self.passes += 1;
                    }
                }
            }
            Seen::Primary { .. } | Seen::Nobody => {}
        }
    }
}

/// A place in the queue, or a pass. Dropped, it is given up.
#[derive(Debug)]
pub(crate) struct Ticket {
    writers: Arc<Writers>,
    pub(crate) place: u64,
    /// Taken with the pass.
    word: Option<oneshot::Receiver<Word>>,
}

impl Ticket {
    /// Waits for word.
    pub(crate) async fn word(&mut self) -> Word {
        let Some(word) = &mut self.word else { return Word::Go };
        let heard = word.await.unwrap_or(Word::Futile);
        if heard == Word::Go {
            self.word = None;
        }
        heard
    }

    /// Has a connection.
    pub(crate) fn served(self) {
        let mut state = self.writers.state();
        (state.refused, state.streak) = (None, 0);
        state.served += 1;
        // The pass goes back when this is dropped.
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.writers.state();
        let has_pass = match &mut self.word {
            None => true,
            Some(word) => {
                state.waiting.remove(&self.place);
                word.try_recv() == Ok(Word::Go)
            }
        };
        if has_pass {
            state.passes = state.passes.saturating_sub(1);
        }
        self.writers.settle(state);
    }
}

#[cfg(test)]
mod tests;
