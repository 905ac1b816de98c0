//! Where a write ended: asked of the primary right behind the write, in the same breath.
//!
//! A later position is only larger, so it is safe; an earlier one is not. The question travels behind the write on
//! the same connection and costs no round trip of its own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::Error;
use diesel::row::{Field, Row};
use diesel::sql_types::Untyped;
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use futures_util::StreamExt;
use rr_core::outcome::TransactionId;
use rr_core::position::{Lsn, PgPosition, Position, Timeline};

use crate::connector::Connection;

/// How our own statements begin.
pub(crate) const MARK: &str = "/*rr*/ ";

/// Asks for the end of the log; the first time on a connection also for what stays as it is.
pub(crate) struct Ask<const FIRST: bool>;

impl<const FIRST: bool> QueryFragment<Pg> for Ask<FIRST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(MARK);
        out.push_sql("SELECT pg_current_wal_insert_lsn()");
        if FIRST {
            out.push_sql(
                ", pg_walfile_name(pg_current_wal_lsn()), pg_size_bytes(current_setting('wal_segment_size'))",
            );
        }
        Ok(())
    }
}

impl<const FIRST: bool> Query for Ask<FIRST> {
    type SqlType = Untyped;
}

impl<const FIRST: bool> QueryId for Ask<FIRST> {
    type QueryId = Self;
}

/// Asks a transaction for its number, and where the log ends after what it has written.
pub(crate) struct AskTransaction;

impl QueryFragment<Pg> for AskTransaction {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        Ask::<true>.walk_ast(out.reborrow())?;
        out.push_sql(", pg_current_xact_id_if_assigned(), (extract(epoch FROM now()) * 1000000)::int8");
        Ok(())
    }
}

impl Query for AskTransaction {
    type SqlType = Untyped;
}

impl QueryId for AskTransaction {
    type QueryId = Self;
}

/// Has the transaction that is open on a connection learn its number.
pub(crate) async fn transaction(connection: &Connection) {
    let asked = async {
        let mut rows = (&mut &connection.conn).load(AskTransaction).await?;
        rows.next().await.transpose()
    };
    let answer = match asked.await {
        Ok(Some(row)) => read_transaction(&row, &connection.node.segment),
        Ok(None) => None,
        Err(error) => {
            tracing::debug!(target: "rr", %error, "the number of a transaction is not known");
            None
        }
    };
    connection.learn(answer);
}

/// The answer; `None` when the transaction has written nothing.
pub(crate) fn read_transaction<'a>(row: &impl Row<'a, Pg>, segment: &AtomicU64) -> Option<TransactionId> {
    let number: u64 = number(row, 3)?;
    let began = number_of(row, 4).map(i64::from_be_bytes)?;
    TransactionId::new(number, read(row, &OnceLock::new(), segment)?, began)
}

fn number_of<'a>(row: &impl Row<'a, Pg>, column: usize) -> Option<[u8; 8]> {
    let field = row.get(column)?;
    field.value()?.as_bytes().try_into().ok()
}

fn number<'a>(row: &impl Row<'a, Pg>, column: usize) -> Option<u64> {
    number_of(row, column).map(u64::from_be_bytes)
}

/// Where the log ends now. `None` when that cannot be told: the write is then placed by the next sample.
///
/// Everything whose first poll came before this one's is included.
pub(crate) async fn position(connection: &Connection) -> Option<Position> {
    // The write is sent first: what it takes to make up the question passes while the server is at work.
    tokio::task::yield_now().await;
    let timeline = &connection.timeline;
    let asked = match timeline.get() {
        None => ask::<true>(&connection.conn).await,
        Some(_) => ask::<false>(&connection.conn).await,
    };
    match asked {
        Ok(row) => read(&row?, timeline, &connection.node.segment),
        Err(error) => {
            unknown(&error);
            None
        }
    }
}

pub(crate) fn unknown(error: &Error) {
    tracing::debug!(target: "rr", %error, "the position of a write is not known");
}

/// The answer. What stays as it is on a connection to a primary comes with the first one: the timeline, and the size of
/// the log's segments, which is 0 until then.
pub(crate) fn read<'a>(
    row: &impl Row<'a, Pg>,
    timeline: &OnceLock<Timeline>,
    segment: &AtomicU64,
) -> Option<Position> {
    let timeline = match timeline.get() {
        Some(timeline) => *timeline,
        None => {
            let file = row.get(1)?;
            let file = file.value()?;
            let found = Timeline::from_wal_file_name(std::str::from_utf8(file.as_bytes()).ok()?).ok()?;
            segment.store(number(row, 2)?, Ordering::Relaxed);
            *timeline.get_or_init(|| found)
        }
    };
    let lsn = Lsn::from_u64(number(row, 0)?).normalised(segment.load(Ordering::Relaxed));
    Some(Position::Postgres(PgPosition::new(timeline, lsn)))
}

async fn ask<const FIRST: bool>(conn: &AsyncPgConnection) -> QueryResult<Option<crate::stream::PgRow>> {
    let mut rows = (&mut &*conn).load(Ask::<FIRST>).await?;
    rows.next().await.transpose()
}
