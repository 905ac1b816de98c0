//! The two ORMs, as the load uses them.

mod with_diesel;
mod with_seaorm;

use rr_core::adapter::{Ledger, Search, Wish};
use rr_core::route::RouteError;
use rr_core::token::LostWrite;
use rr_core::{Config, Connector, Consistency, Session, TokenError};
use rr_diesel::{RoutedPgConnection, RoutedPool};
use rr_seaorm::RoutedConnection;

use crate::Error;
use crate::history::{Item, Key, Level, Orm, Seen};

/// What the servers need to have.
///
/// A list is one row, so that its order is that of its commits; an append waits for the row and nothing else.
pub const SETUP: &str = "CREATE TABLE register (key int PRIMARY KEY, items bigint[] NOT NULL DEFAULT '{}'); \
     CREATE FUNCTION on_standby() RETURNS bool STABLE LANGUAGE sql AS 'SELECT pg_is_in_recovery()'; \
     CREATE VIEW ends AS SELECT key, cardinality(items) AS version, \
       coalesce(items[cardinality(items)], 0) AS item, on_standby() AS standby FROM register; \
     CREATE VIEW lists AS SELECT key, array_to_string(items, ',') AS items, on_standby() AS standby FROM register;";

/// A router.
#[derive(Clone, Debug)]
pub enum Db {
    /// Of rr-diesel.
    Diesel(RoutedPool),
    /// Of rr-seaorm.
    Seaorm(RoutedConnection),
}

/// What one client works with.
#[derive(Debug)]
pub enum Handle {
    /// Of rr-diesel.
    Diesel(Box<RoutedPgConnection>),
    /// Of rr-seaorm.
    Seaorm(Box<RoutedConnection>),
}

/// What a read found, and whether on a standby.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found<T> {
    /// What.
    pub rows: Vec<T>,
    /// Whether a standby answered.
    pub standby: bool,
}

impl<T> Found<T> {
    fn new(rows: Vec<(T, bool)>) -> Self {
        let standby = rows.first().is_some_and(|(_, standby)| *standby);
        Self { rows: rows.into_iter().map(|(row, _)| row).collect(), standby }
    }
}

/// A statement failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It was certainly not done.
    #[error("{0}")]
    Certain(String),
    /// It was sent and not answered.
    #[error("{0}")]
    Unknown(String),
}

impl Db {
    /// Starts a router of this ORM.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub async fn start(orm: Orm, config: Config) -> Result<Self, Error> {
        Ok(match orm {
            Orm::Diesel => Self::Diesel(RoutedPool::start(config).await?),
            Orm::Seaorm => Self::Seaorm(RoutedConnection::start(config).await?),
        })
    }

    /// Whose it is.
    #[must_use]
    pub const fn orm(&self) -> Orm {
        match self {
            Self::Diesel(_) => Orm::Diesel,
            Self::Seaorm(_) => Orm::Seaorm,
        }
    }

    /// A handle of its own, for a session if there is one.
    #[must_use]
    pub fn handle(&self, session: Option<&Session>) -> Handle {
        match (self, session) {
            (Self::Diesel(pool), None) => Handle::Diesel(Box::new(pool.handle())),
            (Self::Diesel(pool), Some(session)) => {
                Handle::Diesel(Box::new(pool.handle().with_session(session)))
            }
            (Self::Seaorm(db), None) => Handle::Seaorm(Box::new(db.clone())),
            (Self::Seaorm(db), Some(session)) => Handle::Seaorm(Box::new(db.with_session(session))),
        }
    }

    /// The session as a token.
    ///
    /// # Errors
    /// When there can be none.
    pub async fn export(&self, session: &Session) -> Result<String, TokenError> {
        let patience = std::time::Duration::from_millis(100);
        let export = match self {
            Self::Diesel(pool) => pool.router().export(session, patience).await,
            Self::Seaorm(db) => db.router().export(session, patience).await,
        };
        export.map(|export| export.token.as_str().to_owned())
    }

    /// The session that a token stands for.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn resume(&self, token: &str) -> Result<Session, TokenError> {
        match self {
            Self::Diesel(pool) => pool.router().resume(token).await,
            Self::Seaorm(db) => db.router().resume(token).await,
        }
    }

    /// Whether this error of a read has told that a write of its session is lost; then the session goes on without.
    #[must_use]
    pub fn takes_note_of_loss(&self, session: &Session, error: &str) -> bool {
        let lost = match self {
            Self::Diesel(pool) => lost(pool.router(), session),
            Self::Seaorm(db) => lost(db.router(), session),
        };
        // Whatever else has gone wrong meanwhile, the application has heard of that only.
        let told = lost.filter(|lost| error.contains(&lost.to_string()));
        told.inspect(|lost| session.accept_loss(lost)).is_some()
    }

    /// Statements that are in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        match self {
            Self::Diesel(pool) => in_flight(pool.router()),
            Self::Seaorm(db) => in_flight(db.router()),
        }
    }

    /// Ends it.
    pub async fn shutdown(&self) {
        match self {
            Self::Diesel(pool) => pool.router().shutdown().await,
            Self::Seaorm(db) => db.router().shutdown().await,
        }
    }
}

fn in_flight<C: Connector>(router: &rr_core::Router<C>) -> u32 {
    router.topology().nodes().iter().filter_map(|node| router.in_flight(&node.name)).sum()
}

fn lost<C: Connector>(router: &rr_core::Router<C>, session: &Session) -> Option<Box<LostWrite>> {
    let mut ledger = Ledger::new(router.clone());
    ledger.session = Some(session.clone());
    let search = Search::new(router, Wish::default());
    match router.route(&search.request(&ledger)) {
        Err(RouteError::LostWrite(lost)) => Some(lost),
        _ => None,
    }
}

impl Handle {
    /// Appends, in a transaction of its own or in one that is begun and committed by hand.
    ///
    /// # Errors
    /// Whether it may have been done.
    pub async fn append(&mut self, key: Key, item: Item, transaction: bool) -> Result<(), Failure> {
        match self {
            Self::Diesel(conn) => with_diesel::append(conn, key, item, transaction).await,
            Self::Seaorm(db) => with_seaorm::append(db, key, item, transaction).await,
        }
    }

    /// The ends of all lists.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn ends(&mut self, level: Level) -> Result<Found<Seen>, String> {
        match self {
            Self::Diesel(conn) => with_diesel::ends(conn, level.into()).await,
            Self::Seaorm(db) => with_seaorm::ends(&db.consistency(level.into())).await,
        }
    }

    /// The whole of some lists.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn lists(&mut self, keys: &[Key], level: Level) -> Result<Found<(Key, Vec<Item>)>, String> {
        match self {
            Self::Diesel(conn) => with_diesel::lists(conn, keys, level.into()).await,
            Self::Seaorm(db) => with_seaorm::lists(&db.consistency(level.into()), keys).await,
        }
    }
}

impl From<Level> for Consistency {
    fn from(level: Level) -> Self {
        match level {
            Level::Eventual => Self::Eventual,
            Level::Bounded(millis) => Self::Bounded(std::time::Duration::from_millis(millis)),
            Level::Session => Self::Session,
            Level::Strong => Self::Strong,
        }
    }
}

fn parse(text: &str) -> Result<Vec<Item>, String> {
    let items = text.split(',').filter(|item| !item.is_empty());
    items.map(|item| item.parse().map_err(|_| format!("no item: {item}"))).collect()
}

fn number<T: TryInto<U>, U>(number: T) -> Result<U, String> {
    number.try_into().map_err(|_| "a number that is none of ours".to_owned())
}
