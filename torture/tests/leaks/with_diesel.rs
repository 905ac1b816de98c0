//! Diesel.

use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use diesel_async::{AsyncConnection, RunQueryDsl};
use futures::StreamExt;
use rr_core::{Router, Session};
use rr_diesel::retry::{self, Policy};
use rr_diesel::{DieselConnector, RoutedPgConnection, RoutedPool};
use rr_tests::wait::polled;

use crate::hunt::{Mix, stumbling};

diesel::table! {
    bucket (id) {
        id -> Integer,
        n -> Integer,
    }
}

#[derive(Clone)]
pub(crate) struct Diesel(pub(crate) RoutedPool);

async fn read(conn: &mut RoutedPgConnection) -> QueryResult<i32> {
    bucket::table.find(1).select(bucket::n).first(conn).await
}

async fn write(conn: &mut RoutedPgConnection) -> QueryResult<usize> {
    diesel::insert_into(bucket::table).values(bucket::n.eq(1)).execute(conn).await
}

impl Diesel {
    async fn run(&self, number: u64) -> QueryResult<()> {
        let conn = &mut self.0.handle();
        match number % 20 {
            0 => write(conn).await.map(drop),
            1 => {
                let body = async |conn: &mut RoutedPgConnection| {
                    write(conn).await?;
                    read(conn).await.map(drop)
                };
                conn.transaction::<_, Error, _>(body).await
            }
            2 => retry::transaction(conn, Policy::new(), async |conn, _| write(conn).await).await.map(drop),
            3 => self.of_a_session().await,
            4 => {
                let body = async |conn: &mut RoutedPgConnection| {
                    write(conn).await?;
                    Err::<(), _>(Error::RollbackTransaction)
                };
                match conn.transaction(body).await {
                    Err(Error::RollbackTransaction) => Ok(()),
                    other => other,
                }
            }
            5 => match sql_query("SELECT 1 / 0").execute(conn).await {
                Err(Error::DatabaseError(..)) => Ok(()),
                other => other.map(drop),
            },
            6 if number % 100 == 6 => self.rare(0, 2).await,
            7 if number % 100 == 7 => self.rare(1, 3).await,
            8 if number % 100 == 8 => self.rare(2, 0).await,
            9 if number % 500 == 9 => self.rare(3, 0).await,
            _ => read(conn).await.map(drop),
        }
    }

    /// A read and a write that are given up after so many polls, a stream that is not read to its end, a connection that is lost.
    async fn rare(&self, which: u64, polls: usize) -> QueryResult<()> {
        let conn = &mut self.0.handle();
        match which {
            0 => polled(polls, read(conn)).await.transpose().map(drop),
            1 => polled(polls, write(conn)).await.transpose().map(drop),
            2 => {
                let many = diesel::dsl::sql::<diesel::sql_types::Integer>("SELECT generate_series(1, 1000)");
                let mut rows = many.load_stream::<i32>(conn).await?;
                rows.next().await.transpose().map(drop)
            }
            _ => sql_query("SELECT n FROM lost").execute(conn).await.map(drop),
        }
    }

    /// Writes, and reads elsewhere with a token.
    async fn of_a_session(&self) -> QueryResult<()> {
        let (router, session) = (self.router(), Session::new());
        session.scope(async { write(&mut self.0.handle()).await }).await?;
        let failed = |error: rr_core::TokenError| Error::QueryBuilderError(Box::new(error));
        let token = router.token(&session).map_err(failed)?;
        let resumed = router.resume(token.as_str()).await.map_err(failed)?;
        resumed.scope(async { read(&mut self.0.handle()).await }).await.map(drop)
    }
}

impl Mix for Diesel {
    type Connector = DieselConnector;

    fn router(&self) -> &Router<DieselConnector> {
        self.0.router()
    }

    async fn turn(&self, number: u64) -> Result<(), String> {
        self.run(number).await.map_err(|error| error.to_string())
    }

    async fn stumble(&self, number: u64) -> Result<(), String> {
        let (which, polls) = stumbling(number);
        self.rare(which, polls).await.map_err(|error| error.to_string())
    }

    async fn busy(&self, on_primary: bool) -> Result<(), String> {
        let sql = if on_primary { "/*rr:primary*/SELECT pg_sleep(0.02)" } else { "SELECT pg_sleep(0.02)" };
        let slept = sql_query(sql).execute(&mut self.0.handle()).await;
        slept.map(drop).map_err(|error| error.to_string())
    }
}
