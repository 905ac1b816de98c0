//! Notes, on Axum and SeaORM: an ordinary application whose reads are spread over replicas.
//!
//! What is there because of rr: `RoutedConnection` in place of `DatabaseConnection`, `SessionLayer` around the routes, and a
//! level at three of them.

mod entity;
mod error;
mod migrations;
mod notes;
mod reports;
mod trial;
mod users;

use std::process::ExitCode;

use axum::Router;
use rr_core::Config;
use rr_core::web::{CookieSettings, HealthPolicy, SessionLayer, health_routes, metrics};
use rr_example::BoxError;
use rr_seaorm::RoutedConnection;

#[tokio::main]
async fn main() -> ExitCode {
    rr_example::run("Notes, on Axum and SeaORM.", start).await
}

async fn start(config: Config) -> Result<Router, BoxError> {
    let db = RoutedConnection::start(config).await?;
    migrations::run(&db).await?;
    let router = db.router().clone();
    Ok(Router::new()
        .merge(users::routes())
        .merge(notes::routes())
        .merge(reports::routes())
        .merge(rr_example::routes(&router, trial::SeaOrm(db.clone())))
        // Each request works for its client's session, whatever process served the last one.
        .layer(SessionLayer::new(&router).with_cookie(CookieSettings::default().insecure()))
        .merge(health_routes(&router, HealthPolicy::default()))
        .merge(metrics(&router))
        .with_state(db))
}
