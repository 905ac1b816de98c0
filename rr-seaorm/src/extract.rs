//! Handles as arguments of axum's handlers.
//!
//! A handler that takes a [`RoutedConnection`] gets one of the connection that is, or is in, the application's state:
//!
//! ```
//! use axum::Router;
//! use axum::extract::FromRef;
//! use axum::routing::get;
//! use rr_core::web::SessionLayer;
//! use rr_seaorm::RoutedConnection;
//! use rr_seaorm::extract::{Primary, ReadOnly};
//! use sea_orm::{ActiveModelTrait, DbErr, EntityTrait, PaginatorTrait};
//! # mod user {
//! #     use sea_orm::entity::prelude::*;
//! #     #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
//! #     #[sea_orm(table_name = "user")]
//! #     pub struct Model { #[sea_orm(primary_key)] pub id: i32 }
//! #     #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
//! #     pub enum Relation {}
//! #     impl ActiveModelBehavior for ActiveModel {}
//! # }
//!
//! #[derive(Clone)]
//! struct AppState {
//!     database: RoutedConnection,
//! }
//!
//! impl FromRef<AppState> for RoutedConnection {
//!     fn from_ref(state: &AppState) -> Self {
//!         state.database.clone()
//!     }
//! }
//!
//! # fn told<T>(result: Result<T, DbErr>) -> Result<T, String> { result.map_err(|error| error.to_string()) }
//! // On the primary.
//! async fn create(db: RoutedConnection) -> Result<String, String> {
//!     let new = user::ActiveModel { ..Default::default() };
//!     Ok(told(new.insert(&db).await)?.id.to_string())
//! }
//!
//! // On a replica that has what this client wrote; and it cannot write by mistake.
//! async fn list(ReadOnly(db): ReadOnly) -> Result<String, String> {
//!     Ok(told(user::Entity::find().count(&db).await)?.to_string())
//! }
//!
//! // On the primary, reads too.
//! async fn exact(Primary(db): Primary) -> Result<String, String> {
//!     Ok(told(user::Entity::find().count(&db).await)?.to_string())
//! }
//!
//! fn application(database: RoutedConnection) -> Router {
//!     let sessions = SessionLayer::new(database.router());
//!     Router::new()
//!         .route("/", get(list).post(create))
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

use crate::RoutedConnection;

/// A handle that [refuses to write](RoutedConnection::read_only).
#[derive(Debug, Clone)]
pub struct ReadOnly(pub RoutedConnection);

/// A handle whose statements all go to the primary.
#[derive(Debug, Clone)]
pub struct Primary(pub RoutedConnection);

impl<S> FromRequestParts<S> for RoutedConnection
where
    Self: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let connection = <Self as FromRef<S>>::from_ref(state);
        Rejection::check(connection.router())?;
        Ok(connection)
    }
}

impl<S> FromRequestParts<S> for ReadOnly
where
    RoutedConnection: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        Ok(Self(RoutedConnection::from_request_parts(parts, state).await?.read_only()))
    }
}

impl<S> FromRequestParts<S> for Primary
where
    RoutedConnection: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        Ok(Self(RoutedConnection::from_request_parts(parts, state).await?.use_primary()))
    }
}
