//! The scenes that both ORMs go through.

use rr_core::route::RouteError;
use rr_core::topology::NoPrimary;
use rr_core::{Config, Router, Session};
use rr_seaorm::{RoutedConnection, RoutingError, SeaOrmConnector, routing_error};
use rr_tests::failovers::{Application, End, Said, outside, own};
use rr_tests::load::Load;
use sea_orm::{ActiveModelTrait, DbErr, TransactionTrait};
use tokio::sync::oneshot;

use super::row;
use crate::support::{Result, ask};

#[derive(Clone)]
struct SeaOrm(RoutedConnection);

#[expect(clippy::needless_pass_by_value, reason = "used where errors are mapped")]
fn said(error: DbErr) -> Said {
    let words = error.to_string();
    match routing_error(&error) {
        Some(RoutingError::NoRoute { error: RouteError::LostWrite(_), .. }) => Said::Lost(words),
        Some(RoutingError::NoRoute {
            error: RouteError::NoPrimary { why: NoPrimary::SplitBrain { .. }, .. },
            ..
        }) => Said::SplitBrain(words),
        _ => Said::Else(words),
    }
}

impl Application for SeaOrm {
    type Connector = SeaOrmConnector;

    async fn start(config: Config) -> Result<Self> {
        Ok(Self(RoutedConnection::start(config).await?))
    }

    fn router(&self) -> &Router<SeaOrmConnector> {
        self.0.router()
    }

    fn of(&self, session: &Session) -> Self {
        Self(self.0.with_session(session))
    }

    async fn write(&self, text: &str) -> Result<(), Said> {
        row(text).insert(&self.0).await.map(drop).map_err(said)
    }

    async fn read(&self, sql: &str) -> Result<String, Said> {
        ask(&self.0, sql).await.map_err(said)
    }

    async fn transaction(&self, text: &str, end: oneshot::Receiver<End>) -> Result<(), Said> {
        let transaction = self.0.begin().await.map_err(said)?;
        row(text).insert(&transaction).await.map_err(said)?;
        match end.await {
            Ok(End::Commit) => transaction.commit().await.map_err(said),
            Ok(End::Rollback) => transaction.rollback().await.map_err(said),
            Ok(End::Drop) | Err(_) => Ok(()),
        }
    }

    fn load(&self) -> Load {
        super::load(&self.0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_primary_that_comes_back_is_neither_written_to_nor_read() -> Result {
    own::an_old_primary_comes_back::<SeaOrm>().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_under_way_are_not_disturbed() -> Result {
    own::reads_under_way_are_not_disturbed::<SeaOrm>().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_lost_a_write_is_told() -> Result {
    own::whoever_lost_a_write_is_told::<SeaOrm>().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_what_no_replica_has_applied_waits_for_the_next_primary() -> Result {
    own::a_read_waits_for_the_next_primary::<SeaOrm>().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_makes_everybody_look() -> Result {
    outside::a_refused_connection_makes_everybody_look::<SeaOrm>().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_connection_makes_everybody_look() -> Result {
    outside::an_ended_connection_makes_everybody_look::<SeaOrm>().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_in_use_over_a_promotion_is_closed_when_it_is_given_back() -> Result {
    outside::a_connection_in_use_is_closed_when_it_is_given_back::<SeaOrm>().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_primaries_get_no_write() -> Result {
    outside::two_primaries_get_no_write::<SeaOrm>().await
}
