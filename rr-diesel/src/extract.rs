//! Handles as arguments of axum's handlers.
//!
//! A handler that takes a [`RoutedPgConnection`] gets one of the [`RoutedPool`] that is, or is in, the application's state:
//!
//! ```
//! use axum::Router;
//! use axum::extract::FromRef;
//! use axum::routing::get;
//! use diesel::prelude::*;
//! use diesel_async::RunQueryDsl;
//! use rr_core::web::SessionLayer;
//! use rr_diesel::extract::{Primary, ReadOnly};
//! use rr_diesel::{RoutedPgConnection, RoutedPool};
//! # diesel::table! { users (id) { id -> Integer, visits -> Integer, } }
//!
//! #[derive(Clone)]
//! struct AppState {
//!     database: RoutedPool,
//! }
//!
//! impl FromRef<AppState> for RoutedPool {
//!     fn from_ref(state: &AppState) -> Self {
//!         state.database.clone()
//!     }
//! }
//!
//! # fn told<T>(result: QueryResult<T>) -> Result<T, String> { result.map_err(|error| error.to_string()) }
//! // On the primary.
//! async fn visit(mut conn: RoutedPgConnection) -> Result<(), String> {
//!     told(diesel::update(users::table).set(users::visits.eq(users::visits + 1)).execute(&mut conn).await)?;
//!     Ok(())
//! }
//!
//! // On a replica that has what this client wrote; and it cannot write by mistake.
//! async fn list(ReadOnly(mut conn): ReadOnly) -> Result<String, String> {
//!     let users: i64 = told(users::table.count().get_result(&mut conn).await)?;
//!     Ok(users.to_string())
//! }
//!
//! // On the primary, reads too.
//! async fn exact(Primary(mut conn): Primary) -> Result<String, String> {
//!     let users: i64 = told(users::table.count().get_result(&mut conn).await)?;
//!     Ok(users.to_string())
//! }
//!
//! fn application(database: RoutedPool) -> Router {
//!     let sessions = SessionLayer::new(database.router());
//!     Router::new()
//!         .route("/", get(list).post(visit))
//!         .route("/exact", get(exact))
//!         .layer(sessions)
//!         .with_state(AppState { database })
//! }
//! ```
//!
//! [`ReadOnly`] and [`Primary`] are the same with a promise: the one never writes, the other never leaves the primary.
//!
//! A handle works for the session of the request, and at the level of its route, for as long as the handler uses it where it
//! got it: within `rr_core::web::SessionLayer` and `rr_core::web::ConsistencyLayer`. A task that a handler spawns has to be
//! told of the session (`rr_core::Session::spawn`).

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;

pub use rr_core::web::Rejection;

use crate::{RoutedPgConnection, RoutedPool};

/// A handle that [refuses to write](RoutedPgConnection::read_only).
#[derive(Debug)]
pub struct ReadOnly(pub RoutedPgConnection);

/// A handle whose statements all go to the primary.
#[derive(Debug)]
pub struct Primary(pub RoutedPgConnection);

impl<S> FromRequestParts<S> for RoutedPgConnection
where
    RoutedPool: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let pool = RoutedPool::from_ref(state);
        Rejection::check(pool.router())?;
        Ok(pool.handle())
    }
}

impl<S> FromRequestParts<S> for ReadOnly
where
    RoutedPool: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        Ok(Self(RoutedPgConnection::from_request_parts(parts, state).await?.read_only()))
    }
}

impl<S> FromRequestParts<S> for Primary
where
    RoutedPool: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        Ok(Self(RoutedPgConnection::from_request_parts(parts, state).await?.kept_on_primary()))
    }
}
