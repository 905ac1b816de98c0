//! Users: they log in by name and have a balance.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use rr_core::Consistency;
use rr_core::web::ConsistencyLayer;
use rr_diesel::extract::ReadOnly;
use rr_diesel::{RoutedPgConnection, RoutedPool};
use rr_example::Login;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::schema::users;

pub(crate) fn routes() -> Router<RoutedPool> {
    Router::new()
        .route("/login", post(login))
        .route("/logout", post(logout))
        // It decides something, so it is the newest there is, whoever changed it.
        .route("/balance", get(balance).layer(ConsistencyLayer::new(Consistency::Strong)))
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
}

/// Logs a user in, who is made when this is the first time.
async fn login(
    mut conn: RoutedPgConnection,
    Json(credentials): Json<Credentials>,
) -> Result<impl IntoResponse> {
    let login = Login::new(&credentials.name);
    let login = login.ok_or(Error::Invalid("a name is 1 to 40 letters, digits, `-` or `_`"))?;
    let new = diesel::insert_into(users::table).values(users::name.eq(login.name())).on_conflict_do_nothing();
    new.execute(&mut conn).await?;
    Ok((StatusCode::NO_CONTENT, login.cookie()))
}

async fn logout() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, Login::forget())
}

#[derive(Serialize, Queryable)]
struct Balance {
    name: String,
    balance: i32,
}

async fn balance(ReadOnly(mut conn): ReadOnly, login: Login) -> Result<Json<Balance>> {
    let own = users::table.filter(users::name.eq(login.name())).select((users::name, users::balance));
    Ok(Json(own.first(&mut conn).await?))
}
