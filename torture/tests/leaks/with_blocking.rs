//! Diesel's own, synchronous connections: each thing that is done has a thread meanwhile. What the C library holds is not
//! counted; its sockets are.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use diesel::PgConnection;
use diesel::connection::TransactionManager;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use rr_core::{Router, Session};
use rr_diesel::blocking::retry::{self, Policy};
use rr_diesel::blocking::{NodeConnector, RoutedConnection, RoutedPool};
use rr_tests::wait::PATIENCE;

use crate::hunt::{Mix, stumbling};
use crate::with_diesel::bucket;

type Pool = RoutedPool<PgConnection>;
type Conn = RoutedConnection<PgConnection>;

#[derive(Clone)]
pub(crate) struct Blocking(pub(crate) Pool);

fn read(conn: &mut Conn) -> QueryResult<i32> {
    bucket::table.find(1).select(bucket::n).first(conn)
}

fn write(conn: &mut Conn) -> QueryResult<usize> {
    diesel::insert_into(bucket::table).values(bucket::n.eq(1)).execute(conn)
}

fn run(pool: &Pool, number: u64) -> QueryResult<()> {
    let conn = &mut pool.handle();
    match number % 20 {
        0 => write(conn).map(drop),
        1 => conn.transaction(|conn| {
            write(conn)?;
            read(conn).map(drop)
        }),
        2 => retry::transaction(conn, Policy::new(), |conn, _| write(conn)).map(drop),
        4 => {
            let undone = conn.transaction(|conn| {
                write(conn)?;
                Err::<(), _>(Error::RollbackTransaction)
            });
            match undone {
                Err(Error::RollbackTransaction) => Ok(()),
                other => other,
            }
        }
        5 => match sql_query("SELECT 1 / 0").execute(conn) {
            Err(Error::DatabaseError(..)) => Ok(()),
            other => other.map(drop),
        },
        6 if number % 100 == 6 => rare(pool, 0),
        7 if number % 100 == 7 => rare(pool, 1),
        8 if number % 100 == 8 => rare(pool, 2),
        9 if number % 500 == 9 => rare(pool, 3),
        _ => read(conn).map(drop),
    }
}

/// Rows that are not read to their end, a transaction whose handle is dropped in it, one whose body panics, a connection that
/// is lost.
fn rare(pool: &Pool, which: u64) -> QueryResult<()> {
    let mut conn = pool.handle();
    match which {
        0 => {
            let many = diesel::dsl::sql::<diesel::sql_types::Integer>("SELECT generate_series(1, 1000)");
            let mut rows = many.load_iter::<i32, PgRowByRowLoadingMode>(&mut conn)?;
            rows.next().transpose().map(drop)
        }
        1 => {
            <Conn as Connection>::TransactionManager::begin_transaction(&mut conn)?;
            write(&mut conn).map(drop)
        }
        2 => {
            // The handle is dropped by the panic, which has no words.
            let panics = move || {
                conn.transaction::<(), Error, _>(|conn| {
                    write(conn)?;
                    resume_unwind(Box::new(()))
                })
            };
            catch_unwind(AssertUnwindSafe(panics)).unwrap_or(Ok(()))
        }
        _ => sql_query("SELECT n FROM lost").execute(&mut conn).map(drop),
    }
}

impl Blocking {
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Pool) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, String> {
        let pool = self.0.clone();
        let done = tokio::task::spawn_blocking(move || work(&pool)).await;
        done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Writes, and reads elsewhere with a token.
    async fn of_a_session(&self) -> Result<(), String> {
        let (router, session) = (self.router(), Session::new());
        let own = session.clone();
        self.on_thread(move |pool| own.enter(|| write(&mut pool.handle()))).await?;
        let failed = |error: rr_core::TokenError| error.to_string();
        // Where the write ended is asked for now.
        let export = router.export(&session, PATIENCE).await.map_err(failed)?;
        let resumed = router.resume(export.token.as_str()).await.map_err(failed)?;
        self.on_thread(move |pool| resumed.enter(|| read(&mut pool.handle()))).await.map(drop)
    }
}

impl Mix for Blocking {
    type Connector = NodeConnector<PgConnection>;

    fn router(&self) -> &Router<Self::Connector> {
        self.0.router()
    }

    async fn turn(&self, number: u64) -> Result<(), String> {
        match number % 20 {
            3 => self.of_a_session().await,
            _ => self.on_thread(move |pool| run(pool, number)).await,
        }
    }

    async fn stumble(&self, number: u64) -> Result<(), String> {
        self.on_thread(move |pool| rare(pool, stumbling(number).0)).await
    }

    async fn busy(&self, on_primary: bool) -> Result<(), String> {
        let sql = if on_primary { "/*rr:primary*/SELECT pg_sleep(0.02)" } else { "SELECT pg_sleep(0.02)" };
        self.on_thread(move |pool| sql_query(sql).execute(&mut pool.handle()).map(drop)).await
    }
}
