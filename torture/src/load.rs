//! What the clients of one process do: each a task with a handle of its own, several of them for one session.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use rr_core::{Session, TokenError};
use rr_tests::wait::wait_until;
use tokio::sync::{RwLock, mpsc};
use tokio::task::JoinSet;

use crate::Error;
use crate::client::{Db, Failure, Handle};
use crate::history::{Action, Item, Key, Level, Op, Orm, Outcome, Router, SessionId, now};

/// The lists.
pub const KEYS: Key = 10;
/// Sessions that are at work at a time with one router, and the tasks of each.
const SESSIONS: u64 = 3;
const TASKS: u64 = 2;
/// Tasks whose handles have no session.
const UNSCOPED: u64 = 2;
/// The staleness that bounded reads allow.
pub const BOUND: u64 = 400;
/// Nobody waits longer for an answer; that is no matter of consistency.
const PATIENCE: Duration = Duration::from_secs(12);
/// Between two operations of a client, at most.
const REST: u64 = 40;

/// What is switched off, to see that it is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Lie {
    /// Nothing.
    #[default]
    None,
    /// Reads that are recorded as those of the session may see any state.
    Eventual,
    /// Each read has a session of its own, with the writes of the one that it is recorded for.
    ForgetsReads,
    /// Bounded reads may be as old as they like.
    Bounded,
    /// Strong reads may see any state.
    Strong,
    /// A session begins anew at its hand-over.
    DropsToken,
    /// One half of a state is of another read than the other half.
    Patches,
    /// Sessions are not told that a write of theirs is lost.
    HidesLoss,
    /// Servers that lose writes are said to lose none.
    CallsItSafe,
}

/// What all clients of a process share.
#[derive(Debug)]
pub struct Shared {
    process: u32,
    lie: Lie,
    stop: AtomicBool,
    next: AtomicU64,
    ops: Mutex<Vec<Op>>,
    /// Held by whoever writes; and alone by whoever wants to have no writes.
    pub gate: RwLock<()>,
    /// Tokens that have come, and where others go.
    inbox: Mutex<VecDeque<Token>>,
    outbox: mpsc::Sender<Token>,
}

/// A session on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Token {
    /// Its number.
    pub number: u64,
    /// Itself.
    pub text: String,
}

impl Token {
    /// One that has come.
    #[must_use]
    pub const fn new(number: u64, text: String) -> Self {
        Self { number, text }
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
    dbs: Vec<Db>,
}

impl Load {
    /// Lets clients of these routers work; tokens for the other process go to `outbox`.
    #[must_use]
    pub fn start(process: u32, dbs: Vec<Db>, seed: u64, lie: Lie, outbox: mpsc::Sender<Token>) -> Self {
        let shared = Arc::new(Shared {
            process,
            lie,
            stop: AtomicBool::new(false),
            next: AtomicU64::new(1),
            ops: Mutex::default(),
            gate: RwLock::new(()),
            inbox: Mutex::default(),
            outbox,
        });
        let mut clients = JoinSet::new();
        let mut rng = Rng::with_seed(seed ^ u64::from(process) << 32);
        for db in &dbs {
            for _ in 0..SESSIONS {
                let desk = Desk { session: Session::new(), id: shared.number() };
                let desk = Arc::new(Mutex::new(desk));
                for _ in 0..TASKS {
                    let client = Client::new(&shared, db, Some(Arc::clone(&desk)), rng.fork());
                    clients.spawn(client.work());
                }
            }
            for _ in 0..UNSCOPED {
                clients.spawn(Client::new(&shared, db, None, rng.fork()).work());
            }
        }
        Self { shared, clients, dbs }
    }

    /// What its clients share.
    #[must_use]
    pub const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Ends it, and gives what was done.
    ///
    /// # Errors
    /// When a client panicked, or left something in flight.
    pub async fn end(mut self) -> Result<Vec<Op>, Error> {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client?;
        }
        for db in &self.dbs {
            let landed = async || Ok::<_, Error>(db.in_flight() == 0);
            wait_until(rr_tests::wait::PATIENCE, "nothing to be in flight", landed).await?;
            db.shutdown().await;
        }
        Ok(std::mem::take(&mut self.shared.ops.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Shared {
    /// A number that no other process has.
    fn number(&self) -> u64 {
        (u64::from(self.process) << 40) + self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A token of the other process has come.
    pub fn receive(&self, token: Token) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).push_back(token);
    }

    fn received(&self) -> Option<Token> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// How many operations were recorded.
    #[must_use]
    pub fn recorded(&self) -> usize {
        self.ops.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// The session that several tasks work for.
#[derive(Debug, Clone)]
struct Desk {
    session: Session,
    id: SessionId,
}

struct Client {
    shared: Arc<Shared>,
    db: Db,
    desk: Option<Arc<Mutex<Desk>>>,
    /// The session that the handle is for.
    own: SessionId,
    handle: Handle,
    number: u64,
    rng: Rng,
}

impl Client {
    fn new(shared: &Arc<Shared>, db: &Db, desk: Option<Arc<Mutex<Desk>>>, rng: Rng) -> Self {
        let number = shared.number();
        let (db, shared) = (db.clone(), Arc::clone(shared));
        Self { handle: db.handle(None), own: number, shared, db, desk, number, rng }
    }

    async fn work(mut self) {
        self.renew(self.desk().as_ref());
        while !self.shared.stop.load(Ordering::Relaxed) {
            let desk = self.desk();
            if desk.as_ref().is_some_and(|desk| desk.id != self.own) {
                self.renew(desk.as_ref());
            }
            match (self.rng.u8(0..100), desk) {
                (0..25, desk) => self.append(desk).await,
                (25..70, desk) => self.read(desk, Level::Session).await,
                (70..78, desk) => self.read(desk, Level::Bounded(BOUND)).await,
                (78..82, desk) => self.read(desk, Level::Strong).await,
                (82..86, desk) => self.read(desk, Level::Eventual).await,
                (86..92, Some(desk)) => self.hand_over(desk).await,
                (_, Some(_)) => self.take_over().await,
                (_, None) => self.read(None, Level::Session).await,
            }
            tokio::time::sleep(Duration::from_millis(self.rng.u64(1..=REST))).await;
        }
    }

    fn desk(&self) -> Option<Desk> {
        let desk = self.desk.as_ref()?;
        Some(desk.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// A new handle: for the present session, or, where there is none, one that knows nothing.
    fn renew(&mut self, desk: Option<&Desk>) {
        self.own = desk.map_or_else(|| self.shared.number(), |desk| desk.id);
        self.handle = self.db.handle(desk.map(|desk| &desk.session));
    }

    async fn append(&mut self, desk: Option<Desk>) {
        let shared = Arc::clone(&self.shared);
        let _open = shared.gate.read().await;
        let (key, number) = (self.rng.u32(0..KEYS), self.shared.number());
        let item = Item::try_from(number).unwrap_or_default();
        let in_transaction = self.rng.u8(0..4) == 0;
        let invoked = now();
        let done = tokio::time::timeout(PATIENCE, self.handle.append(key, item, in_transaction)).await;
        let outcome = match &done {
            Ok(Ok(())) => Outcome::Ok,
            Ok(Err(Failure::Certain(_))) => Outcome::Failed,
            Ok(Err(Failure::Unknown(_))) | Err(_) => Outcome::Unknown,
        };
        self.record(desk.as_ref(), invoked, outcome, Action::Append { key, item });
        if done.is_err() {
            self.renew(desk.as_ref());
        }
    }

    async fn read(&mut self, desk: Option<Desk>, level: Level) {
        let whole = self.rng.u8(0..6) == 0;
        let asked = match (self.shared.lie, level) {
            (Lie::Eventual | Lie::Patches, Level::Session)
            | (Lie::Bounded, Level::Bounded(_))
            | (Lie::Strong, Level::Strong) => Level::Eventual,
            (_, level) => level,
        };
        if let (Lie::ForgetsReads, Some(desk)) = (self.shared.lie, &desk) {
            let forgetful = Session::new();
            if let Some(wrote) = desk.session.last_write() {
                forgetful.wrote(&wrote);
            }
            self.handle = self.db.handle(Some(&forgetful));
        }
        let keys = [self.rng.u32(0..KEYS / 2), self.rng.u32(KEYS / 2..KEYS)];
        let invoked = now();
        let (handle, lie) = (&mut self.handle, self.shared.lie);
        let asking = async {
            Ok::<_, String>(match whole {
                true => {
                    let found = handle.lists(&keys, asked).await?;
                    Action::Lists { level, lists: found.rows, standby: found.standby }
                }
                false => {
                    let mut found = handle.ends(asked).await?;
                    if lie == Lie::Patches {
                        let other = handle.ends(asked).await?;
                        let half = found.rows.len() / 2;
                        found.rows.truncate(half);
                        found.rows.extend(other.rows.into_iter().skip(half));
                    }
                    Action::Read { level, seen: found.rows, standby: found.standby }
                }
            })
        };
        let done = tokio::time::timeout(PATIENCE, asking).await;
        let nothing = Action::Read { level, seen: Vec::new(), standby: false };
        match done {
            Ok(Ok(action)) => self.record(desk.as_ref(), invoked, Outcome::Ok, action),
            Ok(Err(error)) => {
                let told =
                    desk.as_ref().is_some_and(|desk| self.db.takes_note_of_loss(&desk.session, &error));
                let outcome = if told { Outcome::LostWrite } else { Outcome::Failed };
                self.record(desk.as_ref(), invoked, outcome, nothing);
            }
            Err(_) => {
                self.record(desk.as_ref(), invoked, Outcome::Failed, nothing);
                self.renew(desk.as_ref());
            }
        }
    }

    /// Gives the session to whoever takes it, here or in the other process. It is still used here.
    async fn hand_over(&mut self, desk: Desk) {
        let number = self.shared.number();
        let invoked = now();
        let token = self.db.export(&desk.session).await;
        let outcome = if token.is_ok() { Outcome::Ok } else { Outcome::Failed };
        self.record(Some(&desk), invoked, outcome, Action::Export { token: number });
        let Ok(text) = token else { return };
        let token = Token { number, text };
        match self.rng.bool() {
            true => self.shared.receive(token),
            // It is full when nobody reads there, in which case it need not be read.
            false => drop(self.shared.outbox.try_send(token)),
        }
    }

    /// Goes on with a session that somebody has given away.
    async fn take_over(&mut self) {
        let Some(token) = self.shared.received() else { return };
        let id = self.shared.number();
        let invoked = now();
        let resumed = match self.shared.lie {
            Lie::DropsToken => Ok(Session::new()),
            _ => self.db.resume(&token.text).await,
        };
        let outcome = match &resumed {
            Ok(_) => Outcome::Ok,
            Err(TokenError::LostWrite(_)) => Outcome::LostWrite,
            Err(_) => Outcome::Failed,
        };
        let taken = Desk { session: resumed.unwrap_or_default(), id };
        self.record(Some(&taken), invoked, outcome, Action::Resume { token: token.number });
        if let (Outcome::Ok, Some(desk)) = (outcome, &self.desk) {
            *desk.lock().unwrap_or_else(PoisonError::into_inner) = taken;
        }
    }

    fn record(&self, desk: Option<&Desk>, invoked: u64, outcome: Outcome, action: Action) {
        // A connection of SeaORM is used by many at once: without a session it remembers no reads.
        let forgets = desk.is_none() && self.db.orm() == Orm::Seaorm;
        let own = if forgets { self.shared.number() } else { self.own };
        let op = Op {
            router: Router { process: self.shared.process, orm: self.db.orm() },
            client: self.number,
            session: desk.map_or(own, |desk| desk.id),
            unscoped: desk.is_none(),
            invoked,
            returned: now(),
            outcome,
            action,
        };
        self.shared.ops.lock().unwrap_or_else(PoisonError::into_inner).push(op);
    }
}
