//! Notes, on Axum and Diesel: an ordinary application whose reads are spread over replicas.
//!
//! What is there because of rr: `RoutedPool` in place of another pool, `SessionLayer` around the routes, and a level at
//! three of them.

mod error;
mod migrations;
mod notes;
mod reports;
mod schema;
mod trial;
mod users;

use std::process::ExitCode;

use axum::Router;
use rr_core::Config;
use rr_core::web::{CookieSettings, HealthPolicy, SessionLayer, health_routes, metrics};
use rr_diesel::RoutedPool;
use rr_example::BoxError;

#[tokio::main]
async fn main() -> ExitCode {
    rr_example::run("Notes, on Axum and Diesel.", start).await
}

async fn start(config: Config) -> Result<Router, BoxError> {
    let pool = RoutedPool::start(config).await?;
    migrations::run(&pool).await?;
    let router = pool.router().clone();
    Ok(Router::new()
        .merge(users::routes())
        .merge(notes::routes())
        .merge(reports::routes())
        .merge(rr_example::routes(&router, trial::Diesel(pool.clone())))
        // Each request works for its client's session, whatever process served the last one.
        .layer(SessionLayer::new(&router).with_cookie(CookieSettings::default().insecure()))
        .merge(health_routes(&router, HealthPolicy::default()))
        .merge(metrics(&router))
        .with_state(pool))
}
