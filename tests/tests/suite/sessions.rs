//! Sessions on real servers: scopes, tokens between two routers that share nothing but a key, failovers, HTTP.

use std::time::Duration;

use rr_core::adapter::{Ledger, Search, Suspect, Wish};
use rr_core::config::Secret;
use rr_core::tally::Step;
use rr_core::{Config, Consistency, Outcome, Position, Request, Route, RouteReason, Router, Session};
use rr_tests::cluster::Cluster;
use rr_tests::plain::{Plain, Pool, config};

use crate::router::{PATIENCE, Result, all_serving, prepare, run, start, until};

mod answered;
mod dashboard;
mod failover;
mod groups;
mod jobs;
mod otherwise;
mod scopes;
mod showing;
mod stalls;
mod tokens;
mod web;

/// The configuration of a process that shares nothing with others but its key.
fn keyed(cluster: &Cluster) -> Config {
    let mut config = config(cluster);
    config.session.keys = vec![Secret::new("a key that all processes of this test have")];
    config
}

/// A cluster with a table, and a router in each of two "processes".
async fn two(replicas: usize) -> Result<(Cluster, Handle, Handle)> {
    let cluster = Cluster::builder().replicas(replicas).start().await?;
    prepare(&cluster).await?;
    let (one, other) = (Handle::over(keyed(&cluster)).await?, Handle::over(keyed(&cluster)).await?);
    Ok((cluster, one, other))
}

/// What an adapter is to an application: a handle that reads and writes.
#[derive(Clone)]
struct Handle {
    ledger: Ledger<Plain>,
}

impl Handle {
    async fn over(config: Config) -> Result<Self> {
        let router = start(config).await?;
        all_serving(&router).await?;
        Ok(Self { ledger: Ledger::new(router) })
    }

    fn router(&self) -> &Router<Plain> {
        &self.ledger.router
    }

    fn of(&self, session: &Session) -> Self {
        let mut ledger = self.ledger.clone();
        ledger.session = Some(session.clone());
        Self { ledger }
    }

    /// Where a read goes now.
    async fn route(&self) -> Result<Route<Pool>> {
        self.route_by(Wish::default()).await
    }

    /// Where a read with this wish goes now.
    async fn route_by(&self, wish: Wish) -> Result<Route<Pool>> {
        let search = Search::new(self.router(), wish);
        let wait = self.router().config().causal_wait;
        Ok(self.router().route_within(&search.request(&self.ledger), wait).await?)
    }

    /// What a read says, and where it went and why.
    async fn ask(&self, sql: &str) -> Result<(String, String, RouteReason)> {
        self.ask_by(Wish::default(), sql).await
    }

    async fn ask_by(&self, wish: Wish, sql: &str) -> Result<(String, String, RouteReason)> {
        let mut route = self.route_by(wish).await?;
        let (name, reason) = (route.name().to_string(), route.reason());
        let pool = route.pool().clone();
        let connection = pool.get().await?;
        route.begin();
        let row = connection.query_one(sql, &[]).await?;
        self.ledger.served(&route);
        route.finish(Outcome::Answered);
        Ok((row.get(0), name, reason))
    }

    /// Whether a read shows this note, and where it went and why.
    async fn find(&self, text: &str) -> Result<(bool, String, RouteReason)> {
        let sql = format!("SELECT (count(*) > 0)::text FROM note WHERE text = '{text}'");
        let (found, name, reason) = self.ask(&sql).await?;
        Ok((found == "true", name, reason))
    }

    async fn sees(&self, text: &str) -> Result<bool> {
        Ok(self.find(text).await?.0)
    }

    async fn write(&self, text: &str) -> Result<Position> {
        let suspect = self.ledger.suspect(None);
        let at = crate::router::write(self.router(), text).await?;
        suspect.wrote(Some(&at));
        Ok(at)
    }

    /// As a driver that cannot tell where its writes end.
    async fn write_unplaced(&self, text: &str) -> Result {
        self.write_on_its_way(text).await?.wrote(None);
        Ok(())
    }

    /// The server has done it, and nobody has been told yet.
    async fn write_on_its_way(&self, text: &str) -> Result<Suspect<Plain>> {
        let route = self.router().route(&Request::write())?;
        let suspect = self.ledger.suspect(Some(&route));
        run(route, &format!("INSERT INTO note (text) VALUES ('{text}') RETURNING text")).await?;
        Ok(suspect)
    }
}
