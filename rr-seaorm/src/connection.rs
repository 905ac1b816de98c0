//! The routed connection: used like a `DatabaseConnection`, and a pool per node behind it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rr_core::adapter::{Ledger, Place, Way, Wish};
use rr_core::sql::{Classified, StatementClass};
use rr_core::{Consistency, Router, Session};
use sea_orm::DbErr;
use sea_orm::sea_query::{DeleteStatement, InsertStatement, UpdateStatement};

use crate::SeaOrmConnector;
use crate::error;
use crate::job::Job;
use crate::metric::Callback;

mod build;
mod checkout;
mod explain;
mod given;
mod read;
#[cfg(test)]
mod sizes;
mod taken;
mod traits;
mod twins;
mod write;

pub(crate) use checkout::{Checkout, while_there, within};
pub(crate) use read::{Attempts, Care, Verdict};
pub(crate) use taken::Taken;
pub(crate) use traits::BACKEND;
pub(crate) use write::{request, write_failed};

/// A connection for SeaORM whose statements each run on the node that they belong to.
///
/// It is used like a [`DatabaseConnection`](sea_orm::DatabaseConnection): cheap to clone, shared freely, and holding no
/// connection while nothing runs. Reads go to a replica that has everything that this process (or the handle's
/// [session](Self::with_session)) wrote; everything else goes to the primary. A transaction keeps one connection from
/// its begin to its end.
///
/// Handles made from one another ([`use_primary`](Self::use_primary), [`consistency`](Self::consistency), …) share
/// pools and monitor, and differ in what they ask for.
#[derive(Clone)]
pub struct RoutedConnection {
    ledger: Ledger<SeaOrmConnector>,
    /// Where all statements are to go.
    wish: Wish,
    /// It refuses to write.
    reads_only: bool,
    /// Limit for one read on one node, in place of the node's own.
    deadline: Option<Duration>,
    callback: Option<Callback>,
}

/// What is known of a statement before its text is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its type says that it writes.
    Write,
    /// Its text says what it is.
    Text,
}

impl Kind {
    /// What the type of a statement says. A select's locks and `WITH` clause show only in its text, and so does what
    /// `WithQuery` is; a type that is unknown is text as well.
    pub(crate) fn of<S>() -> Self {
        let id = typeid::of::<S>();
        let writes = [
            typeid::of::<InsertStatement>(),
            typeid::of::<UpdateStatement>(),
            typeid::of::<DeleteStatement>(),
        ];
        if writes.contains(&id) { Self::Write } else { Self::Text }
    }

    pub(crate) fn classified(self, connector: &SeaOrmConnector, sql: &str) -> Classified {
        match self {
            Self::Write => Classified::new(StatementClass::Write, None),
            Self::Text => connector.classes().classify(None, sql),
        }
    }
}

impl RoutedConnection {
    pub(crate) fn new(router: Router<SeaOrmConnector>) -> Self {
        Self {
            ledger: Ledger::shared(router),
            wish: Wish::default(),
            reads_only: false,
            deadline: None,
            callback: None,
        }
    }

    /// The router.
    #[must_use]
    pub const fn router(&self) -> &Router<SeaOrmConnector> {
        &self.ledger.router
    }

    /// A handle whose statements all go to the primary.
    #[must_use]
    pub fn use_primary(&self) -> Self {
        self.at(Place::Primary)
    }

    /// A handle whose statements go to a replica even where they do not look like reads. A replica refuses to write, so
    /// that this cannot do harm; what it refuses is run on the primary.
    #[must_use]
    pub fn use_replica(&self) -> Self {
        self.at(Place::Replica)
    }

    /// A handle that refuses to write: with [`RoutingError::ReadOnly`](crate::RoutingError::ReadOnly), and before anything
    /// is sent. Its transactions are `READ ONLY`, and run where a read would.
    ///
    /// What only the server can know to be a write, such as a function of your own that writes, the server refuses. As a
    /// plain `&DatabaseConnection` it is one that is closed, because nobody could refuse there.
    #[must_use]
    pub fn read_only(&self) -> Self {
        let mut handle = self.clone();
        handle.reads_only = true;
        handle
    }

    /// Whether it may write.
    pub(crate) fn check_writes(&self) -> Result<(), DbErr> {
        if self.reads_only { Err(error::reads_only()) } else { Ok(()) }
    }

    pub(crate) const fn reads_only(&self) -> bool {
        self.reads_only
    }

    fn at(&self, place: Place) -> Self {
        let mut handle = self.clone();
        handle.wish.place = Some(place);
        handle
    }

    /// A handle whose reads are this fresh, whatever the configuration says.
    #[must_use]
    pub fn consistency(&self, level: Consistency) -> Self {
        let mut handle = self.clone();
        handle.ledger.consistency = Some(level);
        handle
    }

    /// A handle that reads and writes on behalf of this session: its reads see what the session wrote, through whatever
    /// handle.
    #[must_use]
    pub fn with_session(&self, session: &Session) -> Self {
        let mut handle = self.clone();
        handle.ledger.session = Some(session.clone());
        handle
    }

    /// A handle whose reads go to the nodes of this group.
    #[must_use]
    pub fn use_group(&self, group: impl Into<Arc<str>>) -> Self {
        let mut handle = self.clone();
        handle.wish.group = Some(group.into());
        handle
    }

    /// A handle whose reads wait this long for a node before they are given to another one, in place of the nodes' own
    /// `statement_timeout`.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        let mut handle = self.clone();
        handle.deadline = Some(deadline);
        handle
    }

    pub(crate) const fn ledger(&self) -> &Ledger<SeaOrmConnector> {
        &self.ledger
    }

    pub(crate) fn connector(&self) -> &SeaOrmConnector {
        self.ledger.router.connector()
    }

    pub(crate) const fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    pub(crate) const fn wish(&self) -> &Wish {
        &self.wish
    }

    pub(crate) const fn callback(&self) -> Option<&Callback> {
        self.callback.as_ref()
    }

    /// Where a statement asks to go, and what way that leads to.
    pub(crate) fn way(&self, kind: Kind, sql: &str) -> (Way, Wish) {
        if kind == Kind::Write {
            return (Way::Write, Wish::default());
        }
        #[cfg(feature = "schema-sync")]
        if crate::schema::begins_sync(sql) {
            return (Way::Read, Wish::at(Some(Place::Primary)));
        }
        let classified = kind.classified(self.connector(), sql);
        let mut wish = Wish::at(None).or(None, &classified, self.wish.place);
        wish.group.clone_from(&self.wish.group);
        let way = match wish.way(&classified) {
            // Nobody refuses it where it asks to go.
            Way::Read
                if wish.place == Some(Place::Primary) && !self.reads_only && classified.may_write(sql) =>
            {
                Way::Write
            }
            way => way,
        };
        (way, wish)
    }

    /// Runs something where it belongs.
    async fn run<J: Job>(&self, kind: Kind, job: &J) -> Result<J::Out, DbErr> {
        match self.way(kind, job.sql()) {
            (Way::Read, wish) => self.read(wish, job).await,
            (Way::Write, _) => self.write(rr_core::Access::Write, job).await,
            // There is nothing to keep: a pool's connection is anybody's, here as there.
            (Way::Keep, _) => self.write(rr_core::Access::Session, job).await,
        }
    }
}

impl fmt::Debug for RoutedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutedConnection")
            .field("router", &self.ledger.router)
            .field("session", &self.ledger.session.is_some())
            .field("consistency", &self.ledger.consistency)
            .field("wish", &self.wish)
            .field("reads_only", &self.reads_only)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
