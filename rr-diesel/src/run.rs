//! Running one lowered statement on one connection.

use std::pin::pin;

use diesel::QueryResult;
use diesel_async::SimpleAsyncConnection;
use futures_util::future::join;
use rr_core::position::Position;

use crate::capture;
use crate::checkout::Checkout;
use crate::connector::Connection;
use crate::error;
use crate::lower::{Lowered, Rows};

/// What the caller wants of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Rows,
    Count,
}

/// What a statement gave.
pub(crate) enum Got {
    Rows(Rows),
    Count(usize),
}

/// Whether to ask where a statement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It wrote nothing, or its commit is placed later.
    No,
    /// Ask behind it.
    Yes,
}

/// What ran, and where it ended (`None`: not asked, or not known).
pub(crate) type Ran<T> = (QueryResult<T>, Option<Position>);

/// Runs a statement within the node's limit.
pub(crate) async fn run(checkout: &Checkout, lowered: &Lowered, want: Want, place: Place) -> Ran<Got> {
    let connection = checkout.connection();
    let running = async {
        match place {
            Place::No => (one(connection, lowered, want).await, None),
            Place::Yes => placed(checkout, lowered, one(connection, lowered, want)).await,
        }
    };
    within(checkout, running).await
}

/// Does a write on this connection, and asks where it ends: behind it in the same breath, which costs no round trip.
pub(crate) async fn placed<T>(
    checkout: &Checkout,
    lowered: &Lowered,
    writing: impl Future<Output = QueryResult<T>>,
) -> Ran<T> {
    let asking = async {
        let asked = capture::position(checkout.connection());
        match checkout.connection().node.statement_timeout {
            None => asked.await,
            Some(limit) => tokio::time::timeout(limit, asked).await.ok().flatten(),
        }
    };
    if !lowered.has_custom_types() {
        return join(writing, asking).await;
    }
    // Custom types are looked up first, and a question behind the write would overtake it meanwhile.
    let written = writing.await;
    let position = if written.is_ok() { asking.await } else { None };
    (written, position)
}

/// Runs SQL text that may hold several statements.
pub(crate) async fn batch(checkout: &Checkout, sql: &str, place: Place) -> Ran<()> {
    let connection = checkout.connection();
    let text = async {
        let mut conn = &connection.conn;
        conn.batch_execute(sql).await
    };
    let running = async {
        match place {
            Place::No => (text.await, None),
            Place::Yes => join(text, capture::position(connection)).await,
        }
    };
    within(checkout, running).await
}

pub(crate) async fn one(connection: &Connection, lowered: &Lowered, want: Want) -> QueryResult<Got> {
    match want {
        Want::Rows => lowered.load(&connection.conn).await.map(Got::Rows),
        Want::Count => lowered.execute(&connection.conn).await.map(Got::Count),
    }
}

/// A node that hangs must not take the statement with it.
async fn within<T>(checkout: &Checkout, running: impl Future<Output = Ran<T>>) -> Ran<T> {
    let Some(limit) = checkout.connection().node.statement_timeout else { return running.await };
    let running = pin!(running);
    match tokio::time::timeout(limit, running).await {
        Ok(ran) => ran,
        Err(_) => (Err(error::too_slow(checkout.route().name(), limit)), None),
    }
}
