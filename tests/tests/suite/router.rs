//! The router on real servers. Where a statement ran is asked of the server that ran it.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rr_core::config::NodeConfig;
use rr_core::engine::Fault;
use rr_core::position::{Lsn, PgPosition, Timeline};
use rr_core::{Config, Outcome, Position, Request, Requirement, Route, RouteReason, Router};
use rr_tests::cluster::Cluster;
use rr_tests::plain::{Plain, Pool, config};
pub(crate) use rr_tests::wait::PATIENCE;
use rr_tests::wait::wait_until;

mod discovering;
mod failing;
mod following;
mod nodes;
mod observing;
mod positions;
mod promoting;
mod remembering;
mod routing;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

pub(crate) async fn start(config: Config) -> Result<Router<Plain>> {
    Ok(Router::builder(Plain).config(config).start().await?)
}

/// A cluster with a table, all caught up, and a router over it.
pub(crate) async fn routed(replicas: usize) -> Result<(Cluster, Router<Plain>)> {
    let cluster = Cluster::builder().replicas(replicas).start().await?;
    prepare(&cluster).await?;
    let router = start(config(&cluster)).await?;
    all_serving(&router).await?;
    Ok((cluster, router))
}

/// Waits until all replicas serve. On a busy machine one may not have replayed yet what the primary had at the start.
pub(crate) async fn all_serving(router: &Router<Plain>) -> Result {
    let replicas = router.config().replicas.len();
    until(router, "all replicas to serve", |r| {
        let fresh = |node: &&rr_core::topology::Node| node.fresh_as_of.is_some() && healthy(r, &node.name);
        r.topology().nodes().iter().filter(|node| &*node.name != "primary").filter(fresh).count() == replicas
    })
    .await
}

pub(crate) async fn prepare(cluster: &Cluster) -> Result {
    cluster.primary().sql("CREATE TABLE note (id bigserial PRIMARY KEY, text text)").await?;
    Ok(cluster.wait_caught_up(PATIENCE).await?)
}

fn read() -> Request<'static> {
    Request::read(Requirement::NONE)
}

/// Runs a statement that returns one text on the route's node, and says how it went.
pub(crate) async fn run(mut route: Route<Pool>, sql: &str) -> Result<String> {
    let role = route.role();
    let fault = |error: &tokio_postgres::Error| {
        rr_core::Connector::fault(&Plain, error, role).map_or(Outcome::Answered, Outcome::Failed)
    };
    let pool = route.pool().clone();
    let connection = match pool.get().await {
        Ok(connection) => connection,
        Err(error) => {
            route.finish(Outcome::Failed(Fault::Refused));
            return Err(Box::new(error));
        }
    };
    route.begin();
    let answer = connection.query_one(sql, &[]).await;
    let outcome = answer.as_ref().err().map_or(Outcome::Answered, fault);
    drop(connection);
    route.finish(outcome);
    Ok(answer?.get(0))
}

const PORT: &str = "SELECT current_setting('port')";
const IN_RECOVERY: &str = "SELECT pg_is_in_recovery()::text";

/// Writes on the primary, and the position after the commit.
pub(crate) async fn write(router: &Router<Plain>, text: &str) -> Result<Position> {
    let route = router.route(&Request::write())?;
    run(route, &format!("INSERT INTO note (text) VALUES ('{text}') RETURNING text")).await?;
    let route = router.route(&Request::write())?;
    let at = run(
        route,
        "SELECT pg_current_wal_insert_lsn()::text || ' ' || pg_walfile_name(pg_current_wal_insert_lsn())",
    )
    .await?;
    let (lsn, file) = at.split_once(' ').ok_or("two words")?;
    let lsn: Lsn = lsn.parse()?;
    Ok(PgPosition::new(Timeline::from_wal_file_name(file)?, lsn.normalised(16 << 20)).into())
}

/// Waits until the router knows something.
pub(crate) async fn until(
    router: &Router<Plain>,
    what: &str,
    mut check: impl FnMut(&Router<Plain>) -> bool,
) -> Result {
    let looked = || std::future::ready(Ok::<_, std::convert::Infallible>(check(router)));
    Ok(wait_until(PATIENCE, what, looked)
        .await
        .map_err(|error| format!("{error}\n{:#?}", router.topology()))?)
}

pub(crate) fn healthy(router: &Router<Plain>, node: &str) -> bool {
    let topology = router.topology();
    let (index, _) = topology.nodes().iter().enumerate().find(|(_, n)| *n.name == *node).expect("the node");
    topology.standing(index).is_ok()
}
