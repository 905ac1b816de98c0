//! Many threads that read.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use diesel::QueryResult;
use tokio::time::{MissedTickBehavior, interval};

use crate::readers::Served;
use crate::support::Result;

/// Readers that go on until they are stopped. The first error ends one, and is told at the end.
#[derive(Default)]
pub(super) struct Readers {
    pub(super) served: Served,
    /// Where turns come from, if the readers do not read as fast as they can.
    pace: Option<Arc<Mutex<Receiver<()>>>>,
    threads: Vec<JoinHandle<QueryResult<()>>>,
}

/// When a reader reads.
pub(super) struct Turns {
    pub(super) served: Served,
    pace: Option<Arc<Mutex<Receiver<()>>>>,
}

impl Turns {
    /// Waits for the next turn, if there is one.
    pub(super) fn next(&mut self) -> bool {
        let comes = |pace: &Arc<Mutex<Receiver<()>>>| {
            pace.lock().unwrap_or_else(PoisonError::into_inner).recv().is_ok()
        };
        self.served.goes_on() && self.pace.as_ref().is_none_or(comes)
    }
}

impl Readers {
    /// One of whom has a turn once in `every`; what is late is not made up for.
    pub(super) fn in_turn(every: Duration) -> Self {
        let readers = Self::default();
        let (turn, turns) = sync_channel(4096);
        let served = readers.served.clone();
        tokio::spawn(async move {
            let mut pace = interval(every);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while served.goes_on() {
                pace.tick().await;
                // Should they be so late that it is full, the load is all they can take.
                let _full = turn.try_send(());
            }
        });
        Self { pace: Some(Arc::new(Mutex::new(turns))), ..readers }
    }

    pub(super) fn add(&mut self, reader: impl FnOnce(Turns) -> QueryResult<()> + Send + 'static) {
        let turns = Turns { served: self.served.clone(), pace: self.pace.clone() };
        self.threads.push(thread::spawn(move || reader(turns)));
    }

    pub(super) fn finish(self) -> Result<(u64, u64)> {
        self.served.stop();
        for thread in self.threads {
            match thread.join() {
                Ok(read) => read?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(self.served.counts())
    }
}
