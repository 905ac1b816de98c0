//! A report that may be a little old.

use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use rr_core::Consistency;
use rr_core::web::ConsistencyLayer;
use rr_seaorm::RoutedConnection;
use rr_seaorm::extract::ReadOnly;
use sea_orm::sea_query::Order;
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryOrder, QuerySelect};
use serde::Serialize;

use crate::entity::{note, user};
use crate::error::Result;

pub(crate) fn routes() -> Router<RoutedConnection> {
    let level = Consistency::Bounded(Duration::from_secs(2));
    Router::new().route("/report", get(report).layer(ConsistencyLayer::new(level)))
}

#[derive(Serialize, FromQueryResult)]
struct Author {
    name: String,
    notes: i64,
    views: Option<i64>,
}

/// Who has written how much, and how often that was looked at.
async fn report(ReadOnly(db): ReadOnly) -> Result<Json<Vec<Author>>> {
    let authors = note::Entity::find()
        .inner_join(user::Entity)
        .select_only()
        .column(user::Column::Name)
        .column_as(note::Column::Id.count(), "notes")
        .column_as(note::Column::Views.sum(), "views")
        .group_by(user::Column::Name)
        .order_by(note::Column::Id.count(), Order::Desc)
        .order_by_asc(user::Column::Name)
        .into_model::<Author>()
        .all(&db)
        .await?;
    Ok(Json(authors))
}
