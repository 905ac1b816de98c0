//! A report that may be a little old.

use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use diesel::dsl::{count_star, sum};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use rr_core::Consistency;
use rr_core::web::ConsistencyLayer;
use rr_diesel::RoutedPool;
use rr_diesel::extract::ReadOnly;
use serde::Serialize;

use crate::error::Result;
use crate::schema::{notes, users};

pub(crate) fn routes() -> Router<RoutedPool> {
    let level = Consistency::Bounded(Duration::from_secs(2));
    Router::new().route("/report", get(report).layer(ConsistencyLayer::new(level)))
}

#[derive(Serialize, Queryable)]
struct Author {
    name: String,
    notes: i64,
    views: Option<i64>,
}

/// Who has written how much, and how often that was looked at.
async fn report(ReadOnly(mut conn): ReadOnly) -> Result<Json<Vec<Author>>> {
    let authors = notes::table
        .inner_join(users::table)
        .group_by(users::name)
        .select((users::name, count_star(), sum(notes::views)))
        .order((count_star().desc(), users::name))
        .load(&mut conn)
        .await?;
    Ok(Json(authors))
}
