//! Clients of both ORMs, which write and read at full speed until they are told to stop.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use diesel::{ExpressionMethods, QueryDsl};
use rr_core::adapter::{Ledger, Search, Wish};
use rr_core::failover::Report;
use rr_core::route::RouteError;
use rr_core::time::{Clock, Moment};
use rr_core::{Config, Connector, Consistency, Router, Session};
use rr_diesel::{DieselConnector, RoutedPool};
use rr_seaorm::{RoutedConnection, SeaOrmConnector};
use sea_orm::{ActiveValue, EntityTrait};
use tokio::task::JoinHandle;

use crate::Error;

/// Of each ORM.
const WRITERS: usize = 4;
const READERS: usize = 2;

/// A client that got an error does not ask again at once.
const PAUSE: Duration = Duration::from_millis(1);

diesel::table! {
    entry (id) {
        id -> BigInt,
    }
}

mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "entry")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(super) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A client's database.
#[derive(Clone)]
enum Db {
    Diesel(RoutedPool),
    SeaOrm(RoutedConnection),
}

impl Db {
    async fn write(&self, id: i64, session: &Session) -> Result<(), Error> {
        use diesel_async::RunQueryDsl;
        match self {
            Self::Diesel(pool) => {
                let mut conn = pool.get().await?.with_session(session);
                diesel::insert_into(entry::table).values(entry::id.eq(id)).execute(&mut conn).await?;
            }
            Self::SeaOrm(db) => {
                let row = entity::ActiveModel { id: ActiveValue::Set(id) };
                entity::Entity::insert(row).exec_without_returning(&db.with_session(session)).await?;
            }
        }
        Ok(())
    }

    async fn read(&self) -> Result<(), Error> {
        use diesel_async::RunQueryDsl;
        match self {
            Self::Diesel(pool) => {
                let mut conn = pool.get().await?;
                entry::table.find(0).select(entry::id).first::<i64>(&mut conn).await?;
            }
            Self::SeaOrm(db) => {
                entity::Entity::find_by_id(0).one(db).await?.ok_or("the row is gone")?;
            }
        }
        Ok(())
    }
}

/// A write that was answered.
pub(super) struct Written {
    pub(super) id: i64,
    session: Session,
    pub(super) by_diesel: bool,
}

impl Written {
    /// Whether its session hears, when it reads again, that its write is lost.
    pub(super) fn is_told(&self, routers: &Routers) -> bool {
        match self.by_diesel {
            true => is_told(&routers.diesel, &self.session),
            false => is_told(&routers.seaorm, &self.session),
        }
    }
}

fn is_told<C: Connector>(router: &Router<C>, session: &Session) -> bool {
    let mut ledger = Ledger::new(router.clone());
    ledger.session = Some(session.clone());
    let search = Search::new(router, Wish::default());
    matches!(router.route(&search.request(&ledger)), Err(RouteError::LostWrite(_)))
}

pub(super) struct Routers {
    diesel: Router<DieselConnector>,
    seaorm: Router<SeaOrmConnector>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    next: AtomicI64,
    /// From when on a write counts as one on the new primary.
    gone: OnceLock<Moment>,
    /// The end of the first such write, in nanoseconds.
    first_write: AtomicU64,
    longest_write: AtomicU64,
    reads: AtomicU64,
    failed_reads: AtomicU64,
    failed_writes: AtomicU64,
}

/// Clients at work.
pub(super) struct Load {
    clock: Clock,
    shared: Arc<Shared>,
    routers: Routers,
    writers: Vec<JoinHandle<Vec<Written>>>,
    readers: Vec<JoinHandle<()>>,
}

/// What they have done.
pub(super) struct Done {
    pub(super) written: Vec<Written>,
    pub(super) first_write: Option<Moment>,
    /// The longest write that was answered after the primary was gone.
    pub(super) longest_write: Duration,
    pub(super) reads: u64,
    pub(super) failed_reads: u64,
    pub(super) failed_writes: u64,
    pub(super) routers: Routers,
}

impl Done {
    /// A report as it is by now: the first write may have come after the end of the promotion.
    pub(super) fn reported(&self, report: &Arc<Report>) -> Arc<Report> {
        let history = self.routers.diesel.failover().history();
        history.into_iter().find(|known| known.id == report.id).unwrap_or_else(|| Arc::clone(report))
    }
}

impl Load {
    /// Clients of Diesel with the first configuration, and of SeaORM with the second one.
    pub(super) async fn start(diesel: Config, seaorm: Config) -> Result<Self, Error> {
        let (pool, db) = (RoutedPool::start(diesel).await?, RoutedConnection::start(seaorm).await?);
        let routers = Routers { diesel: pool.router().clone(), seaorm: db.router().clone() };
        // The routers' own clock: reports tell times on it.
        let (clock, shared) = (Clock::of_process(), Arc::new(Shared::default()));
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        for db in [Db::Diesel(pool), Db::SeaOrm(db)] {
            let writer = |_| tokio::spawn(write(db.clone(), Arc::clone(&shared), clock));
            writers.extend((0..WRITERS).map(writer));
            let reader = |_| tokio::spawn(Consistency::Eventual.scope(read(db.clone(), Arc::clone(&shared))));
            readers.extend((0..READERS).map(reader));
        }
        Ok(Self { clock, shared, routers, writers, readers })
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(super) const fn router(&self) -> &Router<DieselConnector> {
        &self.routers.diesel
    }

    /// The primary is gone; what begins to be written from now on is written to another one.
    pub(super) fn gone(&self, at: Moment) {
        self.shared.gone.get_or_init(|| at);
    }

    pub(super) fn first_write(&self) -> Option<Moment> {
        let at = self.shared.first_write.load(Ordering::Relaxed);
        (at > 0).then(|| Moment::from_nanos(at))
    }

    pub(super) async fn end(self) -> Result<Done, Error> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut written = Vec::new();
        for writer in self.writers {
            written.extend(writer.await?);
        }
        for reader in self.readers {
            reader.await?;
        }
        let shared = &self.shared;
        let at = shared.first_write.load(Ordering::Relaxed);
        Ok(Done {
            written,
            first_write: (at > 0).then(|| Moment::from_nanos(at)),
            longest_write: Duration::from_nanos(shared.longest_write.load(Ordering::Relaxed)),
            reads: shared.reads.load(Ordering::Relaxed),
            failed_reads: shared.failed_reads.load(Ordering::Relaxed),
            failed_writes: shared.failed_writes.load(Ordering::Relaxed),
            routers: self.routers,
        })
    }
}

/// Writes one row after the other, each once and in a session of its own.
async fn write(db: Db, shared: Arc<Shared>, clock: Clock) -> Vec<Written> {
    let mut written = Vec::new();
    while !shared.stop.load(Ordering::Relaxed) {
        let id = shared.next.fetch_add(1, Ordering::Relaxed) + 1;
        let (session, begun) = (Session::new(), clock.now());
        let answered = db.write(id, &session).await;
        let ended = clock.now();
        if let Err(error) = answered {
            shared.failed_writes.fetch_add(1, Ordering::Relaxed);
            // It may be there or not: whoever got this error has been told as much.
            drop(error);
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        written.push(Written { id, session, by_diesel: matches!(db, Db::Diesel(_)) });
        let Some(gone) = shared.gone.get() else { continue };
        let nanos =
            |moment: Moment| u64::try_from(moment.since(Moment::ORIGIN).as_nanos()).unwrap_or(u64::MAX);
        if begun >= *gone {
            let first = shared.first_write.load(Ordering::Relaxed);
            if first == 0 || nanos(ended) < first {
                shared.first_write.store(nanos(ended), Ordering::Relaxed);
            }
        }
        if ended >= *gone {
            let took = u64::try_from(ended.since(begun).as_nanos()).unwrap_or(u64::MAX);
            shared.longest_write.fetch_max(took, Ordering::Relaxed);
        }
    }
    written
}

async fn read(db: Db, shared: Arc<Shared>) {
    while !shared.stop.load(Ordering::Relaxed) {
        let count = match db.read().await {
            Ok(()) => &shared.reads,
            Err(_) => &shared.failed_reads,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
