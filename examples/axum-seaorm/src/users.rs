//! Users: they log in by name and have a balance.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use rr_core::Consistency;
use rr_core::web::ConsistencyLayer;
use rr_example::Login;
use rr_seaorm::RoutedConnection;
use rr_seaorm::extract::ReadOnly;
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait;
use sea_orm::sea_query::OnConflict;
use serde::{Deserialize, Serialize};

use crate::entity::user;
use crate::error::{Error, Result};

pub(crate) fn routes() -> Router<RoutedConnection> {
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
async fn login(db: RoutedConnection, Json(credentials): Json<Credentials>) -> Result<impl IntoResponse> {
    let login = Login::new(&credentials.name);
    let login = login.ok_or(Error::Invalid("a name is 1 to 40 letters, digits, `-` or `_`"))?;
    let new = user::ActiveModel { name: Set(login.name().to_owned()), ..Default::default() };
    let known = OnConflict::column(user::Column::Name).do_nothing().to_owned();
    user::Entity::insert(new).on_conflict(known).exec_without_returning(&db).await?;
    Ok((StatusCode::NO_CONTENT, login.cookie()))
}

async fn logout() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, Login::forget())
}

#[derive(Serialize)]
struct Balance {
    name: String,
    balance: i32,
}

async fn balance(ReadOnly(db): ReadOnly, login: Login) -> Result<Json<Balance>> {
    let own = user::Entity::find_by_name(login.name()).one(&db).await?.ok_or(Error::NotFound)?;
    Ok(Json(Balance { name: own.name, balance: own.balance }))
}
