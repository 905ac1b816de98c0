//! Running one lowered statement on one connection.

use diesel::QueryResult;
use diesel_async::SimpleAsyncConnection;
use futures_util::future::{Either, join};
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

/// Runs a write within the node's limit, and asks where it ends.
pub(crate) async fn run_and_place(checkout: &Checkout, lowered: &Lowered, want: Want) -> Ran<Got> {
    let writing = one(checkout.connection(), lowered, want);
    within(checkout, placed(checkout, lowered, writing)).await
}

/// Does a write on this connection, and asks where it ends: behind it in the same breath, which costs no round trip.
pub(crate) fn placed<T>(
    checkout: &Checkout,
    lowered: &Lowered,
    writing: impl Future<Output = QueryResult<T>>,
) -> impl Future<Output = Ran<T>> {
    let asking = async {
        let asked = capture::position(checkout.connection());
        match checkout.connection().node.statement_timeout {
            None => asked.await,
            Some(limit) => tokio::time::timeout(limit, asked).await.ok().flatten(),
        }
    };
    if !lowered.has_custom_types() {
        return Either::Left(join(writing, asking));
    }
    // Custom types are looked up first, and a question behind the write would overtake it meanwhile.
    Either::Right(Box::pin(async {
        let written = writing.await;
        let position = if written.is_ok() { asking.await } else { None };
        (written, position)
    }))
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
fn within<T>(checkout: &Checkout, running: impl Future<Output = Ran<T>>) -> impl Future<Output = Ran<T>> {
    let Some(limit) = checkout.connection().node.statement_timeout else { return Either::Left(running) };
    let limited = async move {
        let in_time = tokio::time::timeout(limit, running).await;
        in_time.unwrap_or_else(|_| (Err(error::too_slow(checkout.route().name(), limit)), None))
    };
    Either::Right(Box::pin(limited))
}
