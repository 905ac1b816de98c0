//! Where a statement would go now, and why, for whoever asks on the page.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::adapter::{Ledger, Wish};
use crate::connector::Connector;
use crate::consistency::Consistency;
use crate::engine::Engine;
use crate::router::{Explanation, Router};
use crate::sql::{Dialect, scan};

/// A question is text that somebody has typed.
pub(super) const LONGEST: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    sql: String,
    /// In place of the configured one.
    #[serde(default)]
    level: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    /// The same for people.
    text: String,
    #[serde(flatten)]
    explanation: &'a Explanation,
}

/// The answer as JSON, or what is wrong with the question.
pub(super) fn explain<C: Connector>(
    router: &Router<C>,
    question: &[u8],
) -> Result<String, (StatusCode, String)> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let Question { sql, level } = serde_json::from_slice(question).map_err(|error| bad(error.to_string()))?;
    let level = level.filter(|level| !level.trim().is_empty());
    let level: Option<Consistency> =
        level.map(|level| level.parse()).transpose().map_err(|error| bad(format!("level: {error}")))?;
    let dialect = match router.config().engine() {
        Ok(Engine::MySql | Engine::MariaDb) => Dialect::MySql,
        Ok(Engine::Postgres | Engine::Sqlite) | Err(_) => Dialect::Postgres,
    };
    let classified = scan(&sql, dialect);
    let wish = Wish { level, ..Wish::default() }.or(None, &classified, None);
    let explanation = Ledger::shared(router.clone()).explain(&sql, &classified, wish, dialect, None);
    let answer = Answer { text: explanation.to_string(), explanation: &explanation };
    serde_json::to_string(&answer).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}
