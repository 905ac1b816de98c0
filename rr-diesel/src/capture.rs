//! Where a write ended: asked of the primary right behind the write, in the same breath.
//!
//! A later position is only larger, so it is safe; an earlier one is not. The question travels behind the write on
//! the same connection and costs no round trip of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::Error;
use diesel::row::{Field, Row};
use diesel::sql_types::Untyped;
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use futures_util::StreamExt;
use rr_core::position::{Lsn, PgPosition, Position, Timeline};

use crate::connector::Connection;

/// How our own statements begin.
pub(crate) const MARK: &str = "/*rr*/ ";

/// Asks for the end of the log, and for the size of its segments while that is not known.
pub(crate) struct Ask<const WITH_SEGMENT: bool>;

impl<const WITH_SEGMENT: bool> QueryFragment<Pg> for Ask<WITH_SEGMENT> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(MARK);
        out.push_sql("SELECT pg_current_wal_insert_lsn(), pg_walfile_name(pg_current_wal_lsn())");
        if WITH_SEGMENT {
            out.push_sql(", pg_size_bytes(current_setting('wal_segment_size'))");
        }
        Ok(())
    }
}

impl<const WITH_SEGMENT: bool> Query for Ask<WITH_SEGMENT> {
    type SqlType = Untyped;
}

impl<const WITH_SEGMENT: bool> QueryId for Ask<WITH_SEGMENT> {
    type QueryId = Self;
}

/// Where the log ends now. `None` when that cannot be told: the write is then placed by the next sample.
///
/// Everything whose first poll came before this one's is included.
pub(crate) async fn position(connection: &Connection) -> Option<Position> {
    let known = connection.node.segment.load(Ordering::Relaxed);
    let asked =
        if known == 0 { ask::<true>(&connection.conn).await } else { ask::<false>(&connection.conn).await };
    match asked {
        Ok(row) => read(&row?, &connection.node.segment),
        Err(error) => {
            unknown(&error);
            None
        }
    }
}

pub(crate) fn unknown(error: &Error) {
    tracing::debug!(target: "rr", %error, "the position of a write is not known");
}

/// The answer. `segment` is the size of the log's segments, 0 until it is known.
pub(crate) fn read<'a>(row: &impl Row<'a, Pg>, segment: &AtomicU64) -> Option<Position> {
    let known = segment.load(Ordering::Relaxed);
    let number = |column: usize| {
        let field = row.get(column)?;
        let bytes: [u8; 8] = field.value()?.as_bytes().try_into().ok()?;
        Some(u64::from_be_bytes(bytes))
    };
    let size = if known == 0 { number(2)? } else { known };
    segment.store(size, Ordering::Relaxed);
    let file = row.get(1)?;
    let file = file.value()?;
    let timeline = Timeline::from_wal_file_name(std::str::from_utf8(file.as_bytes()).ok()?).ok()?;
    let lsn = Lsn::from_u64(number(0)?).normalised(size);
    Some(Position::Postgres(PgPosition::new(timeline, lsn)))
}

async fn ask<const WITH_SEGMENT: bool>(
    conn: &AsyncPgConnection,
) -> QueryResult<Option<crate::stream::PgRow>> {
    let mut rows = (&mut &*conn).load(Ask::<WITH_SEGMENT>).await?;
    rows.next().await.transpose()
}
