//! Running one lowered statement on one connection.

use std::collections::VecDeque;
use std::pin::pin;

use diesel::QueryResult;
use diesel_async::SimpleAsyncConnection;
use futures_util::future::{Either, join, select};
use futures_util::{FutureExt, StreamExt};
use rr_core::position::Position;

use crate::capture;
use crate::checkout::Checkout;
use crate::connector::Connection;
use crate::error;
use crate::lower::{Lowered, Rows};
use crate::stream::PgRow;

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

/// Rows of a write of which so many are read before their caller has any, so that it is known whether they are all.
const AHEAD: usize = 1000;

/// What a write gave.
pub(crate) enum Kept {
    /// The first rows, and the rest if there are more.
    Rows(VecDeque<PgRow>, Option<Rows>),
    Count(usize),
}

/// Runs a write on a connection that is kept, within the node's limit, and asks where it ends if that is wanted.
///
/// The answer comes behind the rows, and nobody else reads them meanwhile. Of a long result it is not waited for, since the server
/// stops when nobody reads.
pub(crate) async fn run_and_place(
    checkout: &Checkout,
    lowered: &mut Lowered<'_>,
    want: Want,
    place: Place,
) -> Ran<Kept> {
    let connection = checkout.connection();
    let running = async {
        if want == Want::Count && place == Place::No {
            return (lowered.execute(&connection.conn).await.map(Kept::Count), None);
        }
        if want == Want::Count {
            let writing = lowered.execute(&connection.conn);
            let (count, position) = placed(checkout, lowered.has_custom_types(), writing).await;
            return (count.map(Kept::Count), position);
        }
        let loading = lowered.load(&connection.conn);
        let reading = async { read_ahead(loading.await?).await };
        if place == Place::No {
            return (reading.await, None);
        }
        let (reading, asking) = (pin!(reading), pin!(asking(checkout)));
        // As for other writes, the question is sent behind the write at once, unless it would overtake that.
        let (read, asking) = match lowered.has_custom_types() {
            true => (reading.await, asking),
            false => match select(reading, asking).await {
                Either::Left(read) => read,
                Either::Right((position, reading)) => return (reading.await, position),
            },
        };
        let position = if matches!(read, Ok(Kept::Rows(_, None))) { asking.await } else { None };
        (read, position)
    };
    within(checkout, running).await
}

/// What has come of a write's rows already, behind its first one: a short result comes as a whole.
pub(crate) fn at_hand(first: PgRow, mut rows: Rows) -> QueryResult<Kept> {
    let mut ahead = VecDeque::from([first]);
    while ahead.len() < AHEAD {
        match rows.next().now_or_never() {
            Some(Some(row)) => ahead.push_back(row?),
            Some(None) => return Ok(Kept::Rows(ahead, None)),
            None => break,
        }
    }
    Ok(Kept::Rows(ahead, Some(rows)))
}

async fn read_ahead(mut rows: Rows) -> QueryResult<Kept> {
    let mut ahead = VecDeque::new();
    while ahead.len() < AHEAD {
        match rows.next().await {
            Some(row) => ahead.push_back(row?),
            None => return Ok(Kept::Rows(ahead, None)),
        }
    }
    Ok(Kept::Rows(ahead, Some(rows)))
}

/// Where the log ends behind what was sent before.
pub(crate) async fn asking(checkout: &Checkout) -> Option<Position> {
    let asked = capture::position(checkout.connection());
    match checkout.connection().node.statement_timeout {
        None => asked.await,
        Some(limit) => tokio::time::timeout(limit, asked).await.ok().flatten(),
    }
}

/// Does a write on this connection, and asks where it ends: behind it in the same breath, which costs no round trip.
pub(crate) fn placed<T>(
    checkout: &Checkout,
    has_custom_types: bool,
    writing: impl Future<Output = QueryResult<T>>,
) -> impl Future<Output = Ran<T>> {
    let asking = asking(checkout);
    if !has_custom_types {
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

pub(crate) async fn one(connection: &Connection, lowered: &mut Lowered<'_>, want: Want) -> QueryResult<Got> {
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
