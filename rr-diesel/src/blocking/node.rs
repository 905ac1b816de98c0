//! The pool of one node in one role.
//!
//! It is not r2d2's, for three reasons. r2d2 hides a refused connect behind its timeout, where a read should go
//! elsewhere at once. Its connects run on threads that pools share, so that a node which hangs holds up connects to those that do
//! not; here each caller opens its own. And a connection that turns out dead tells that the idle ones beside it are.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use diesel::connection::CacheSize;
use rr_core::adapter::Waits;
use rr_core::config::PoolConfig;
use rr_core::connector::PoolState;
use rr_core::time::{Clock, Moment};
use rr_core::topology::Role;
use tokio::runtime::Handle;

use super::backend::Routable;
use super::line::Line;
use super::login::Door;
use crate::connector::ConnectError;
use crate::instrument::Relay;

mod sweep;

use sweep::{pause_between_sweeps, sweep};

/// A connection that was idle for longer is asked whether it is alive before it gets something that cannot be tried
/// again. A busy pool never asks.
const TRUSTED: Duration = Duration::from_millis(100);

/// The pool of one node in one role. It connects when it is first asked for a connection, unless some are to be kept open.
pub struct NodePool<C: Routable> {
    shared: Arc<Shared<C>>,
}

struct Shared<C> {
    door: Door,
    role: Role,
    max: u32,
    min: u32,
    idle_timeout: Option<Duration>,
    max_lifetime: Option<Duration>,
    connect_timeout: Duration,
    checkout_timeout: Duration,
    statement_timeout: Option<Duration>,
    clock: Clock,
    state: Mutex<State<C>>,
    waits: Waits,
    segment: AtomicU64,
}

struct State<C> {
    /// The one that was used last is the last, and is taken first: its caches are warm, and the others may go.
    idle: Vec<Idle<C>>,
    /// Those that are in use or being opened.
    used: u32,
    line: Line,
}

struct Idle<C> {
    connection: Box<Connection<C>>,
    since: Moment,
}

/// A connection of a node's pool.
pub(super) struct Connection<C> {
    pub(super) conn: C,
    /// Where its events go.
    pub(super) relay: Relay,
    cache: CacheSize,
    opened: Moment,
}

/// What the connection is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// Something that can be tried again when the connection turns out to be dead.
    Replayable,
    /// Something that cannot.
    Once,
}

/// Until when the server lets a statement run.
pub(super) struct Limit {
    clock: Clock,
    end: Moment,
}

impl Limit {
    /// Whatever the server says now, it says because of that.
    pub(super) fn is_over(&self) -> bool {
        self.clock.now() >= self.end
    }
}

impl<C: Routable> NodePool<C> {
    pub(super) fn new(door: Door, role: Role, config: &PoolConfig, runtime: &Handle) -> Self {
        let time = |limit: Option<Duration>| limit.filter(|limit| !limit.is_zero());
        let shared = Arc::new(Shared {
            door,
            role,
            max: config.max.max(1),
            min: config.min.min(config.max),
            idle_timeout: time(config.idle_timeout),
            max_lifetime: time(config.max_lifetime),
            connect_timeout: config.connect_timeout,
            checkout_timeout: config.checkout_timeout,
            statement_timeout: time(config.statement_timeout),
            clock: Clock::start(),
            state: Mutex::new(State { idle: Vec::new(), used: 0, line: Line::default() }),
            waits: Waits::default(),
            segment: AtomicU64::new(0),
        });
        let pause = pause_between_sweeps(shared.idle_timeout, shared.max_lifetime);
        drop(runtime.spawn(sweep(Arc::downgrade(&shared), pause)));
        Self { shared }
    }

    /// A connection, for as long as its holder likes.
    pub(super) fn checkout(&self, care: Care) -> Result<Lease<C>, ConnectError> {
        let shared = &self.shared;
        let mut lease = shared.line_up()?;
        loop {
            let idle = shared.state().idle.pop();
            let Some(idle) = idle else {
                lease.connection = Some(shared.open()?);
                return Ok(lease);
            };
            if shared.is_usable(idle, care, &mut lease) {
                return Ok(lease);
            }
        }
    }

    /// For a statement that begins now, where the server was told how long one may take.
    pub(super) fn limit(&self) -> Option<Limit> {
        let clock = self.shared.clock;
        self.shared.statement_timeout.map(|limit| Limit { clock, end: clock.now() + limit })
    }

    pub(super) fn state(&self) -> PoolState {
        let (open, idle) = self.connections();
        self.shared.waits.told(PoolState::of(open, idle))
    }

    /// Closes the connections that nobody uses: one was found dead, and they are no younger.
    pub(super) fn purge(&self) {
        let idle = std::mem::take(&mut self.shared.state().idle);
        drop(idle);
    }

    /// Size of the server's WAL segments, 0 until it is known.
    pub(super) fn segment(&self) -> &AtomicU64 {
        &self.shared.segment
    }

    /// How many connections there are, and how many of them nobody uses.
    #[must_use]
    pub fn connections(&self) -> (u32, u32) {
        let state = self.shared.state();
        (state.open(), state.unused())
    }
}

impl<C> State<C> {
    fn unused(&self) -> u32 {
        u32::try_from(self.idle.len()).unwrap_or(u32::MAX)
    }

    fn open(&self) -> u32 {
        self.used.saturating_add(self.unused())
    }

    /// Somebody has what he waited for, or gives up.
    fn leave_line(&mut self, place: u64, max: u32) {
        self.line.leave(place);
        self.call_next(max);
    }

    fn call_next(&self, max: u32) {
        if self.used < max {
            self.line.call_first();
        }
    }
}

impl<C> Shared<C> {
    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to one of the connections, first come, first served: an idle one, or else one to be opened.
    fn line_up(self: &Arc<Self>) -> Result<Lease<C>, ConnectError>
    where
        C: Routable,
    {
        let mut state = self.state();
        if state.line.is_empty() && state.used < self.max {
            return Ok(Lease::new(self, &mut state));
        }
        let waiting = self.waits.begin();
        let deadline = self.clock.now() + self.checkout_timeout;
        let place = state.line.join();
        loop {
            if state.used < self.max && state.line.is_first(place) {
                let lease = Lease::new(self, &mut state);
                state.leave_line(place, self.max);
                waiting.served();
                return Ok(lease);
            }
            let left = deadline.since(self.clock.now());
            if left.is_zero() {
                state.leave_line(place, self.max);
                waiting.in_vain();
                return Err(ConnectError::Exhausted(self.checkout_timeout));
            }
            drop(state);
            thread::park_timeout(left);
            state = self.state();
        }
    }

    fn is_too_old(&self, connection: &Connection<C>, now: Moment) -> bool {
        self.max_lifetime.is_some_and(|limit| now.since(connection.opened) >= limit)
    }
}

impl<C: Routable> Shared<C> {
    /// Gives the connection to the lease if it may be used.
    fn is_usable(&self, idle: Idle<C>, care: Care, lease: &mut Lease<C>) -> bool {
        let Idle { mut connection, since } = idle;
        let now = self.clock.now();
        if self.is_too_old(&connection, now) {
            return false;
        }
        if care == Care::Once && now.since(since) > TRUSTED && connection.conn.ping().is_err() {
            return false;
        }
        lease.connection = Some(connection);
        true
    }

    /// Opens a connection on a thread of its own: libpq cannot be told to give up in less than seconds.
    fn open(self: &Arc<Self>) -> Result<Box<Connection<C>>, ConnectError> {
        let (send, receive) = mpsc::sync_channel(1);
        let shared = Arc::clone(self);
        let opening = move || drop(send.send(shared.establish()));
        if thread::Builder::new().name("rr-connect".to_owned()).spawn(opening).is_err() {
            return self.establish();
        }
        match receive.recv_timeout(self.connect_timeout) {
            Ok(opened) => opened,
            Err(RecvTimeoutError::Timeout) => Err(ConnectError::Slow(self.connect_timeout)),
            Err(RecvTimeoutError::Disconnected) => Err(ConnectError::Hook("it panicked".into())),
        }
    }

    fn establish(&self) -> Result<Box<Connection<C>>, ConnectError> {
        let mut conn = C::establish(&self.door.address()?).map_err(ConnectError::Driver)?;
        let set_up = conn.set_up(self.role, self.statement_timeout);
        set_up.map_err(|error| {
            ConnectError::SetUp(diesel::ConnectionError::CouldntSetupConfiguration(error))
        })?;
        let relay = Relay::default();
        conn.set_instrumentation(relay.clone());
        Ok(Box::new(Connection { conn, relay, cache: CacheSize::Unbounded, opened: self.clock.now() }))
    }
}

impl<C: Routable> Connection<C> {
    pub(super) fn set_cache(&mut self, size: CacheSize) {
        if self.cache != size {
            self.conn.set_prepared_statement_cache_size(size);
            self.cache = size;
        }
    }
}

/// A connection out of a pool. Dropping it gives the connection back, unless it is broken.
pub(super) struct Lease<C: Routable> {
    connection: Option<Box<Connection<C>>>,
    shared: Arc<Shared<C>>,
    discard: bool,
}

impl<C: Routable> Lease<C> {
    fn new(shared: &Arc<Shared<C>>, state: &mut State<C>) -> Self {
        state.used += 1;
        Self { connection: None, shared: Arc::clone(shared), discard: false }
    }

    pub(super) fn connection(&mut self) -> &mut Connection<C> {
        match &mut self.connection {
            Some(connection) => connection,
            None => unreachable!("leases are handed out with a connection"),
        }
    }

    /// Closes the connection instead of giving it back.
    pub(super) const fn discard(&mut self) {
        self.discard = true;
    }
}

impl<C: Routable> Drop for Lease<C> {
    fn drop(&mut self) {
        let mut connection = self.connection.take();
        if let Some(own) = &mut connection {
            own.relay.connect(None);
            self.discard |= thread::panicking() || own.conn.is_broken();
        }
        let since = self.shared.clock.now();
        let mut state = self.shared.state();
        state.used -= 1;
        if !self.discard
            && let Some(connection) = connection.take()
        {
            state.idle.push(Idle { connection, since });
        }
        state.call_next(self.shared.max);
    }
}

impl<C: Routable> fmt::Debug for NodePool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (connections, idle) = self.connections();
        f.debug_struct("NodePool")
            .field("connections", &connections)
            .field("idle", &idle)
            .finish_non_exhaustive()
    }
}
