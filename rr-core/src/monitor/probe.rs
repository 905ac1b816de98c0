//! One task per node: ask, tell the worker, pause, again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Shared;
use crate::config::FailoverMode;
use crate::connector::{Connector, Target};
use crate::engine::{Log, Observation, UnreadableProbe};
use crate::snapshot::{Common, LookOutcome};
use crate::time::Moment;
use crate::world::Event;

/// Between two probes that were asked for by faults. A storm of faults must not become a storm of probes.
const POKED_PAUSE: Duration = Duration::from_millis(2);

/// Between two looks at a primary that fails, while that is to be confirmed; up to twice as long. Each look is a new
/// connection.
const CONFIRMING_PAUSE: Duration = Duration::from_millis(10);

/// While reads wait for the node to catch up it is asked again at once, so many times in a row without its having moved ...
const EAGER_PROBES: u32 = 16;

/// ... and then at this pace.
const WAITING_PAUSE: Duration = Duration::from_millis(1);

/// From a write of unknown position to the probe that places it: what is written meanwhile is placed with it, and a server that
/// takes writes all the time is asked no more often.
const PLACING_PAUSE: Duration = Duration::from_millis(20);

/// While writes wait for a primary every node is looked at at this pace.
const WRITES_PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Probe<C: Connector> {
    shared: Arc<Shared<C>>,
    target: Target,
    common: Arc<Common>,
    events: mpsc::Sender<Event>,
    control: Option<C::Control>,
    /// Where it stood when it was looked at last, and how often in a row it has stood there.
    place: Option<Log>,
    stood: u32,
    /// The last look failed, and that has been logged.
    failing: bool,
    /// Looks that failed in a row.
    failures: u32,
}

#[derive(Debug, thiserror::Error)]
enum ProbeError<E: std::error::Error> {
    #[error("no connection: {}", chain(.0))]
    Connect(E),
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    #[error("no answer: {}", chain(.0))]
    Run(E),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    Unreadable(#[from] UnreadableProbe),
}

impl<E: std::error::Error> ProbeError<E> {
    const fn outcome(&self) -> LookOutcome {
        match self {
            Self::Connect(_) => LookOutcome::NoConnection,
            Self::ConnectTimeout(_) => LookOutcome::ConnectTimeout,
            Self::Run(_) => LookOutcome::Failed,
            Self::Timeout(_) => LookOutcome::Timeout,
            Self::Unreadable(_) => LookOutcome::Unreadable,
        }
    }
}

/// An error with its causes: "connection refused" is usually two levels down.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl<C: Connector> Probe<C> {
    pub(super) const fn new(
        shared: Arc<Shared<C>>,
        target: Target,
        common: Arc<Common>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            shared,
            target,
            common,
            events,
            control: None,
            place: None,
            stood: 0,
            failing: false,
            failures: 0,
        }
    }

    /// Runs until the node is retired or the worker is gone.
    pub(super) async fn run(mut self) {
        while !self.common.is_retired() {
            let event = self.look_and_tell().await;
            if self.events.send(event).await.is_err() {
                return;
            }
            self.pause().await;
        }
    }

    async fn look_and_tell(&mut self) -> Event {
        let node = self.common.id;
        let looked = self.look().await;
        let outcome = looked.as_ref().err().map_or(LookOutcome::Answered, ProbeError::outcome);
        self.common.looks.count(outcome, self.shared.clock.now());
        match looked {
            Ok((asked_at, seen)) => {
                self.failing = false;
                self.failures = 0;
                if self.place.as_ref() == Some(&seen.log) {
                    self.stood = self.stood.saturating_add(1);
                } else {
                    self.place = Some(seen.log.clone());
                    self.stood = 0;
                }
                Event::Answered { node, asked_at, seen }
            }
            Err(error) => {
                // Whatever went wrong, the connection may hold half an answer.
                self.control = None;
                if self.failing {
                    tracing::debug!(target: "rr", node = &*self.common.name, %error, "probe failed again");
                } else {
                    tracing::warn!(target: "rr", node = &*self.common.name, %error, "probe failed");
                }
                self.failing = true;
                self.failures = self.failures.saturating_add(1);
                Event::Silent { node }
            }
        }
    }

    async fn look(&mut self) -> Result<(Moment, Observation), ProbeError<C::Error>> {
        let limits = &self.shared.config.monitor;
        let kept = self.control.take();
        let warm = kept.is_some();
        let mut control = match kept {
            Some(control) => control,
            None => timeout(limits.connect_timeout, self.shared.connector.control(&self.target))
                .await
                .map_err(|_| ProbeError::ConnectTimeout(limits.connect_timeout))?
                .map_err(ProbeError::Connect)?,
        };
        // The position is sampled on the server, and so after this moment: what was committed before it is in it.
        let asked_at = self.shared.clock.now();
        let sql = self.shared.engine.probe_sql().unwrap_or_default();
        let row = timeout(limits.timeout, self.shared.connector.run(&mut control, sql))
            .await
            .map_err(|_| ProbeError::Timeout(limits.timeout))?
            .map_err(ProbeError::Run)?;
        let latency = self.shared.clock.now().since(asked_at);
        let seen = self.shared.engine.read_probe(&row)?;
        // The first answer on a connection is slow: the server has yet to fill its caches.
        if warm {
            self.common.load.observe_probe(latency);
        }
        self.shared.metrics.probe(seen.role, latency);
        self.control = Some(control);
        Ok((asked_at, seen))
    }

    /// Whether somebody waits to know if the primary is gone: then it is not for the next interval to tell.
    fn is_confirming(&self) -> bool {
        let policy = &self.shared.config.failover;
        self.failing
            && matches!(policy.mode, FailoverMode::Supervised | FailoverMode::Automatic)
            && self.failures < policy.confirmations
            && self.shared.snapshot.load().topology.primary().is_ok_and(|node| node.id == self.common.id)
    }

    async fn pause(&mut self) {
        if self.common.is_waited_for() && !self.failing {
            if self.stood < EAGER_PROBES {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(WAITING_PAUSE).await;
            }
            return;
        }
        // Whoever comes next begins to wait now.
        self.stood = 0;
        if self.is_confirming() {
            tokio::time::sleep(CONFIRMING_PAUSE.mul_f64(1.0 + fastrand::f64())).await;
            return;
        }
        let limits = &self.shared.config.monitor;
        let spread = limits.jitter.saturating_mul(2);
        let mut pause = limits.interval.saturating_sub(limits.jitter) + spread.mul_f64(fastrand::f64());
        if self.shared.writers.waiting() > 0 {
            pause = pause.min(WRITES_PAUSE);
        }
        let placing = async {
            self.common.written.notified().await;
            tokio::time::sleep(PLACING_PAUSE).await;
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = placing => {}
            () = poked(&self.common) => {}
        }
    }
}

/// Ends a moment after a poke, or as soon as somebody waits: the poke may have been of one who waits no more.
async fn poked(common: &Common) {
    common.poke.notified().await;
    let waited_for = async {
        while !common.is_waited_for() {
            common.poke.notified().await;
        }
    };
    drop(timeout(POKED_PAUSE, waited_for).await);
}
