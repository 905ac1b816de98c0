//! "Write, then read a hundred times": one write and many reads of one fresh session, through the example's own handle.
//!
//! `POST /lab/burst?count=100&level=session` answers with
//!
//! ```json
//! {
//!   "count": 100, "seen": 100, "level": "session",
//!   "nodes": { "replica-1": 52, "replica-2": 48 },
//!   "write_ms": 1.9,
//!   "reads": [ { "node": "replica-1", "seen": true, "ms": 0.4 }, … ]
//! }
//! ```
//!
//! where `seen` counts the reads that saw the write, and `nodes` says which servers served the reads: they say so
//! themselves. `count` is 100 unless said otherwise and 1000 at most; `level` is `eventual`, `bounded(2s)`,
//! `read-after-write`, `session` (unless said otherwise) or `strong`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use rr_core::time::Clock;
use rr_core::{Consistency, Session};
use serde::{Deserialize, Serialize};

use crate::BoxError;

const MOST: u32 = 1000;

/// What the burst does, in the words of an ORM.
pub trait Trial: Clone + Send + Sync + 'static {
    /// Writes something, and says what it is found by.
    fn write(&self) -> impl Future<Output = Result<i32, BoxError>> + Send;

    /// Looks for it once.
    fn read(&self, id: i32) -> impl Future<Output = Result<Reading, BoxError>> + Send;
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The server that answered, by its own account.
    pub node: String,
    /// Whether it saw what was written.
    pub seen: bool,
}

#[derive(Deserialize)]
pub(crate) struct Wanted {
    count: Option<u32>,
    level: Option<String>,
}

#[derive(Serialize)]
struct Report {
    count: u32,
    seen: u32,
    level: String,
    nodes: BTreeMap<String, u32>,
    write_ms: f64,
    reads: Vec<Read>,
}

#[derive(Serialize)]
struct Read {
    node: String,
    seen: bool,
    ms: f64,
}

/// The handler of `/lab/burst`.
pub(crate) async fn burst<T: Trial>(State(trial): State<T>, Query(wanted): Query<Wanted>) -> Response {
    let refused = |status, text: String| (status, Json(serde_json::json!({ "error": text }))).into_response();
    let count = wanted.count.unwrap_or(100);
    if !(1..=MOST).contains(&count) {
        return refused(StatusCode::BAD_REQUEST, format!("`count` is between 1 and {MOST}"));
    }
    let level = match wanted.level.as_deref().map_or(Ok(Consistency::Session), str::parse) {
        Ok(level) => level,
        Err(error) => return refused(StatusCode::BAD_REQUEST, error.to_string()),
    };
    match Box::pin(Session::new().scope_at(level, run(trial, count, level))).await {
        Ok(report) => Json(report).into_response(),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

async fn run<T: Trial>(trial: T, count: u32, level: Consistency) -> Result<Report, BoxError> {
    let clock = Clock::start();
    let begun = clock.now();
    let id = trial.write().await?;
    let write_ms = ms(clock.now().since(begun));
    let mut report = Report {
        count,
        seen: 0,
        level: level.to_string(),
        nodes: BTreeMap::new(),
        write_ms,
        reads: Vec::new(),
    };
    for _ in 0..count {
        let begun = clock.now();
        let Reading { node, seen } = trial.read(id).await?;
        let ms = ms(clock.now().since(begun));
        report.seen += u32::from(seen);
        *report.nodes.entry(node.clone()).or_default() += 1;
        report.reads.push(Read { node, seen, ms });
    }
    Ok(report)
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    // To a hundredth: more would be noise.
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}
