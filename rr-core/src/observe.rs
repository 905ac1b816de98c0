//! Watching single statements: spans for tracing, and observers of an application's own.
//!
//! A [`Route`](crate::Route) carries both, from the choice of its node to its end, so that every adapter has them alike. Where
//! nobody watches, it carries nothing, and a statement pays one comparison.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Span, field};

use crate::config::Endpoint;
use crate::consistency::Consistency;
use crate::engine::Engine;
use crate::route::{Access, Outcome, RouteReason};
use crate::snapshot::Common;
use crate::time::{Clock, Moment};
use crate::topology::{Epoch, Role};

/// Where a statement goes, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Facts {
    /// Its node.
    pub node: Arc<str>,
    /// The role that the node has.
    pub role: Role,
    /// What kind of statement it is.
    pub class: Access,
    /// Why it goes there.
    pub reason: RouteReason,
    /// Its consistency level, as far as its request told.
    pub level: Option<Consistency>,
    /// The epoch in which it was decided.
    pub epoch: Epoch,
}

/// How a statement (or a transaction) ended, as far as routing is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// How its node did; `None` when nobody said: it was given up, or had no connection.
    pub outcome: Option<Outcome>,
    /// From the choice of the node to the end.
    pub took: Duration,
}

/// Told of statements as they are routed; see [`Builder::observer`](crate::router::Builder::observer).
///
/// It is called on the thread that runs the statement, and must not block. One that panics is told no more.
pub trait RouteObserver: Send + Sync + 'static {
    /// A node was chosen. A statement that is tried on several nodes is told of for each of them.
    fn routed(&self, _facts: &Facts) {}

    /// Its use of that node has ended.
    fn ended(&self, facts: &Facts, ended: Ended);
}

/// An observer, and which statements it is told of.
pub(crate) struct Observing {
    observer: Arc<dyn RouteObserver>,
    one_in: u32,
    panicked: AtomicBool,
}

impl Observing {
    pub(crate) fn new(observer: Arc<dyn RouteObserver>, one_in: u32) -> Self {
        Self { observer, one_in: one_in.max(1), panicked: AtomicBool::new(false) }
    }

    fn wants_this(&self) -> bool {
        !self.panicked.load(Ordering::Relaxed) && (self.one_in == 1 || fastrand::u32(..self.one_in) == 0)
    }

    /// Statements end while others unwind: a panic here must not become an abort.
    fn tell(&self, what: impl FnOnce(&dyn RouteObserver)) {
        if self.panicked.load(Ordering::Relaxed) {
            return;
        }
        if catch_unwind(AssertUnwindSafe(|| what(&*self.observer))).is_err()
            && !self.panicked.swap(true, Ordering::Relaxed)
        {
            tracing::error!(target: "rr", "the observer of routes panicked; it is told no more");
        }
    }
}

impl fmt::Debug for Observing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observing").field("one_in", &self.one_in).finish_non_exhaustive()
    }
}

/// Whether anybody might want a span or an event of a statement. For adapters that would have to make its text first.
#[inline]
#[must_use]
pub fn is_traced() -> bool {
    LevelFilter::current() >= LevelFilter::DEBUG
}

/// What a route carries while somebody watches.
pub(crate) struct Watched {
    span: Span,
    observed: Option<(Arc<Observing>, Moment)>,
    facts: Facts,
}

impl Watched {
    /// `None` when nobody wants this statement after all.
    pub(crate) fn begin(
        facts: Facts,
        common: &Common,
        observing: Option<&Arc<Observing>>,
    ) -> Option<Box<Self>> {
        tracing::trace!(
            target: "rr::route", node = &*facts.node, role = %facts.role, class = facts.class.as_str(),
            reason = facts.reason.as_str(), level = facts.level.map(field::display), epoch = facts.epoch.number(), "routed"
        );
        let span = match tracing::enabled!(target: "rr::statement", Level::DEBUG) {
            true => span(&facts, common),
            false => Span::none(),
        };
        let observed = observing.filter(|observing| observing.wants_this());
        if span.is_disabled() && observed.is_none() {
            return None;
        }
        if let Some(observing) = observed {
            observing.tell(|observer| observer.routed(&facts));
        }
        let observed = observed.map(|observing| (Arc::clone(observing), common.clock.now()));
        Some(Box::new(Self { span, observed, facts }))
    }

    pub(crate) const fn span(&self) -> &Span {
        &self.span
    }

    /// The statement is this text.
    pub(crate) fn runs(&self, sql: &str) {
        if !self.span.is_disabled() && !sql.is_empty() {
            self.span.record("db.operation.name", crate::sql::operation(sql));
        }
    }

    /// The server has answered with this error (an SQLSTATE, or another word of few values).
    pub(crate) fn failed(&self, code: &str) {
        self.span.record("error.type", code);
        self.span.record("otel.status_code", "ERROR");
    }

    pub(crate) fn end(&self, outcome: Option<Outcome>, clock: Clock) {
        if let Some(Outcome::Failed(fault)) = outcome {
            self.failed(fault.as_str());
        }
        if let Some((observing, began)) = &self.observed {
            let ended = Ended { outcome, took: clock.now().since(*began) };
            observing.tell(|observer| observer.ended(&self.facts, ended));
        }
    }
}

/// By OpenTelemetry's conventions for databases. It has neither the text of the statement nor its values.
fn span(facts: &Facts, common: &Common) -> Span {
    let url = &common.node.url;
    let (address, port) = match url.endpoint() {
        Some(Endpoint::Tcp { host, port }) => (Some(&**host), Some(*port)),
        Some(Endpoint::Socket { path, port }) => (Some(&**path), Some(*port)),
        Some(Endpoint::File { path }) => (Some(&**path), None),
        None => (None, None),
    };
    tracing::debug_span!(
        target: "rr::statement",
        "rr.statement",
        otel.kind = "client",
        otel.status_code = field::Empty,
        db.system.name = url.engine().map(system),
        db.operation.name = field::Empty,
        server.address = address,
        server.port = port,
        error.type = field::Empty,
        rr.node = &*facts.node,
        rr.role = facts.role.as_str(),
        rr.class = facts.class.as_str(),
        rr.reason = facts.reason.as_str(),
        rr.level = facts.level.map(field::display),
        rr.epoch = facts.epoch.number(),
    )
}

/// What OpenTelemetry calls an engine.
const fn system(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "postgresql",
        Engine::MySql => "mysql",
        Engine::MariaDb => "mariadb",
        Engine::Sqlite => "sqlite",
    }
}
