//! The scenes that both ORMs go through.

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, RunQueryDsl, TransactionManager};
use rr_core::{Config, Router, Session};
use rr_diesel::{DieselConnector, RoutedPgConnection, RoutedPool};
use rr_tests::failovers::{Application, End, Said, outside, own};
use rr_tests::load::Load;
use tokio::sync::oneshot;

use crate::support::{Result, note};

type Manager = <RoutedPgConnection as AsyncConnection>::TransactionManager;

#[derive(Clone)]
struct Diesel(RoutedPool, Option<Session>);

impl Diesel {
    fn handle(&self) -> RoutedPgConnection {
        let handle = self.0.handle();
        self.1.iter().fold(handle, |handle, session| handle.with_session(session))
    }
}

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = diesel::sql_types::Text)]
    text: String,
}

/// These errors have no room for a type of ours: their kind and their words are what there is.
#[expect(clippy::needless_pass_by_value, reason = "used where errors are mapped")]
fn said(error: Error) -> Said {
    let words = error.to_string();
    match &error {
        Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand, _) => {
            if words.contains("a write that was acknowledged") {
                Said::Lost(words)
            } else if words.contains("split brain") {
                Said::SplitBrain(words)
            } else {
                Said::Else(words)
            }
        }
        _ => Said::Else(words),
    }
}

impl Application for Diesel {
    type Connector = DieselConnector;

    async fn start(config: Config) -> Result<Self> {
        Ok(Self(RoutedPool::start(config).await?, None))
    }

    fn router(&self) -> &Router<DieselConnector> {
        self.0.router()
    }

    fn of(&self, session: &Session) -> Self {
        Self(self.0.clone(), Some(session.clone()))
    }

    async fn write(&self, text: &str) -> Result<(), Said> {
        let row = diesel::insert_into(note::table).values(note::text.eq(text));
        row.execute(&mut self.handle()).await.map(drop).map_err(said)
    }

    async fn read(&self, sql: &str) -> Result<String, Said> {
        let row: QueryResult<Text> = sql_query(sql.to_owned()).get_result(&mut self.handle()).await;
        row.map(|row| row.text).map_err(said)
    }

    async fn transaction(&self, text: &str, end: oneshot::Receiver<End>) -> Result<(), Said> {
        let mut conn = self.handle();
        Manager::begin_transaction(&mut conn).await.map_err(said)?;
        let row = diesel::insert_into(note::table).values(note::text.eq(text));
        if let Err(error) = row.execute(&mut conn).await {
            let _broken = Manager::rollback_transaction(&mut conn).await;
            return Err(said(error));
        }
        match end.await {
            Ok(End::Commit) => Manager::commit_transaction(&mut conn).await.map_err(said),
            Ok(End::Rollback) => Manager::rollback_transaction(&mut conn).await.map_err(said),
            Ok(End::Drop) | Err(_) => Ok(()),
        }
    }

    fn load(&self) -> Load {
        super::load(&self.0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_primary_that_comes_back_is_neither_written_to_nor_read() -> Result {
    own::an_old_primary_comes_back::<Diesel>().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_under_way_are_not_disturbed() -> Result {
    own::reads_under_way_are_not_disturbed::<Diesel>().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_lost_a_write_is_told() -> Result {
    own::whoever_lost_a_write_is_told::<Diesel>().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_what_no_replica_has_applied_waits_for_the_next_primary() -> Result {
    own::a_read_waits_for_the_next_primary::<Diesel>().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_makes_everybody_look() -> Result {
    outside::a_refused_connection_makes_everybody_look::<Diesel>().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_connection_makes_everybody_look() -> Result {
    outside::an_ended_connection_makes_everybody_look::<Diesel>().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_in_use_over_a_promotion_is_closed_when_it_is_given_back() -> Result {
    outside::a_connection_in_use_is_closed_when_it_is_given_back::<Diesel>().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_primaries_get_no_write() -> Result {
    outside::two_primaries_get_no_write::<Diesel>().await
}
