//! Positions in the write-ahead log, and forcing them onto a boundary.
//!
//! The log is cut into pages of 8 kB and segments of 16 MB, each of which begins with a header. When a commit
//! ends exactly at the end of a page, the position where the next record will be *inserted* lies already behind
//! the next page's header, while a standby that has replayed everything stays at the page's start. Whoever waits
//! for a standby to reach the insert position waits for ever. It happens to one commit in several hundred;
//! [`Node::commit_at_boundary`] makes it happen at will.

use std::time::Duration;

use futures::future::try_join_all;
use tokio_postgres::Client;

use super::Cluster;
use super::error::{ClusterError, Result};
use super::node::Node;
use crate::wait::{WaitError, wait_until};

const PAGE: u64 = 8192;
const SEGMENT: u64 = 16 << 20;
/// The header of a page, and that of a segment's first page.
const HEADER: u64 = 24;
const LONG_HEADER: u64 = 40;
/// The smallest record that `pg_logical_emit_message` can be made to write; every multiple of
/// [`ALIGNMENT`] above it is possible as well.
const SMALLEST_RECORD: u64 = 56;
const ALIGNMENT: u64 = 8;
const LARGEST_RECORD: u64 = 1 << 20;
/// A noisy neighbour in the log spoils an attempt, but not a hundred.
const ATTEMPTS: u32 = 100;

/// Where in the write-ahead log a commit is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Boundary {
    /// At the end of a page, so that the insert position is 24 bytes into the next.
    Page,
    /// At the end of a segment, so that the insert position is 40 bytes into the next.
    Segment,
}

impl Boundary {
    /// Whether an insert position says that the last record ended at such a boundary.
    fn is_behind(self, insert: u64) -> bool {
        match self {
            Self::Page => insert % PAGE == HEADER && insert % SEGMENT != HEADER,
            Self::Segment => insert % SEGMENT == LONG_HEADER,
        }
    }

    /// The room for records between `insert` and the first such boundary which fits a record of `cost` bytes,
    /// alone or together with padding.
    fn room(self, insert: u64, cost: u64) -> u64 {
        let mut page_end = insert - insert % PAGE + PAGE;
        let mut room = page_end - insert;
        loop {
            let ends_segment = page_end.is_multiple_of(SEGMENT);
            let fits = room == cost || room >= cost + SMALLEST_RECORD;
            if fits && ends_segment == (self == Self::Segment) {
                return room;
            }
            room += PAGE - if ends_segment { LONG_HEADER } else { HEADER };
            page_end += PAGE;
        }
    }
}

/// Bytes of records between two insert positions: their distance without the headers between.
fn record_bytes(from: u64, to: u64) -> u64 {
    let headers_before = |at: u64| (at / PAGE) * HEADER + at.div_ceil(SEGMENT) * (LONG_HEADER - HEADER);
    (to - from) - (headers_before(to) - headers_before(from))
}

/// The end of the last record, given the position where the next one will be inserted.
fn record_end(insert: u64) -> u64 {
    let behind_header = Boundary::Page.is_behind(insert) || Boundary::Segment.is_behind(insert);
    if behind_header { insert - insert % PAGE } else { insert }
}

impl Node {
    /// Where this primary will insert the next record, as a number.
    ///
    /// # Errors
    /// When the server is a standby or does not answer.
    pub async fn insert_lsn(&self) -> Result<u64> {
        self.lsn(&self.admin().await?, "pg_current_wal_insert_lsn()").await
    }

    /// The end of the last record this standby has replayed, as a number; zero before the first, and the switch
    /// point on a promoted one.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn replay_lsn(&self) -> Result<u64> {
        self.lsn(&self.admin().await?, "coalesce(pg_last_wal_replay_lsn(), '0/0')").await
    }

    /// Waits until this standby has replayed all that `source`, a primary, has written by now.
    ///
    /// # Errors
    /// When it has not done so in time, or `source` is no primary.
    pub async fn wait_caught_up(&self, source: &Self, within: Duration) -> Result<()> {
        let target = record_end(source.insert_lsn().await?);
        let what = format!("{} to catch up with {}", self.name(), source.name());
        let there = async || Ok::<_, ClusterError>(self.replay_lsn().await? >= target);
        Ok(wait_until(within, &what, there).await?)
    }

    /// Runs `sql`, a statement that commits, until its commit ends exactly at the boundary, padding the log before it.
    /// Mostly that takes two runs; make sure that it may run several times. Gives the insert position after it.
    ///
    /// # Errors
    /// When the server is no primary or refuses the statement, or others write so much that no attempt succeeds.
    pub async fn commit_at_boundary(&self, sql: &str, boundary: Boundary) -> Result<u64> {
        let client = self.direct().await?;
        for _ in 0..ATTEMPTS {
            let before = self.lsn(&client, "pg_current_wal_insert_lsn()").await?;
            client.batch_execute(sql).await.map_err(self.sql_error())?;
            let after = self.lsn(&client, "pg_current_wal_insert_lsn()").await?;
            if after != before && boundary.is_behind(after) {
                return Ok(after);
            }
            let cost = record_bytes(before, after);
            self.pad(&client, boundary.room(after, cost) - cost).await?;
        }
        Err(WaitError {
            what: format!("a commit at the end of a {boundary:?}"),
            within: Duration::ZERO,
            last: format!("{ATTEMPTS} attempts missed; does anybody else write?"),
        }
        .into())
    }

    /// Writes records of exactly `bytes` bytes in sum.
    async fn pad(&self, client: &Client, mut bytes: u64) -> Result<()> {
        while bytes > 0 {
            let rest_too_small = bytes > LARGEST_RECORD && bytes - LARGEST_RECORD < SMALLEST_RECORD;
            let record = if rest_too_small { LARGEST_RECORD / 2 } else { bytes.min(LARGEST_RECORD) };
            let emit =
                format!("SELECT pg_logical_emit_message(false, '', repeat('x', {}))", message_len(record));
            client.batch_execute(&emit).await.map_err(self.sql_error())?;
            bytes -= record;
        }
        Ok(())
    }

    async fn lsn(&self, client: &Client, position: &str) -> Result<u64> {
        // As a number, since versions print positions differently.
        let sql = format!("SELECT ({position} - '0/0'::pg_lsn)::bigint");
        let text = self.text(client, &sql).await?;
        text.parse().map_err(|_| ClusterError::NoValue { node: String::from(self.name()), sql })
    }
}

/// The length of a message with an empty prefix whose record has `record` bytes.
///
/// A record is its header (24), the header of its data (2, or 5 when the data are longer than 255), and the
/// data: a fixed part (24), the prefix's end (1) and the message; then it is aligned.
fn message_len(record: u64) -> u64 {
    debug_assert!(record >= SMALLEST_RECORD && record.is_multiple_of(ALIGNMENT));
    let with_short_header = record - 24 - 2;
    let data = if with_short_header <= 255 { with_short_header } else { record - 24 - 5 };
    data - 25
}

impl Cluster {
    /// Waits until every running standby has replayed all that its primary has written by now.
    ///
    /// # Errors
    /// When one has not done so in time, or its primary does not answer.
    pub async fn wait_caught_up(&self, within: Duration) -> Result<()> {
        let standbys = self.nodes().iter().filter(|node| node.is_running() && node.upstream().is_some());
        let waiting = standbys.map(async |standby| {
            let mut source = standby.clone();
            while let Some(upstream) = source.upstream() {
                source = upstream.node;
            }
            standby.wait_caught_up(&source, within).await
        });
        try_join_all(waiting).await.map(drop)
    }

    /// Commits a transaction on the primary whose end is the end of a WAL page, and gives the insert position
    /// after it, which is 24 bytes farther.
    ///
    /// # Errors
    /// As [`Node::commit_at_boundary`].
    pub async fn roll_wal_page_boundary(&self) -> Result<u64> {
        let commit = "SELECT pg_logical_emit_message(true, '', '')";
        self.primary().commit_at_boundary(commit, Boundary::Page).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_not_counted_as_records() {
        assert_eq!(record_bytes(SEGMENT + 40, SEGMENT + 140), 100);
        assert_eq!(record_bytes(PAGE - 8, PAGE + HEADER), 8);
        assert_eq!(record_bytes(SEGMENT - 8, SEGMENT + LONG_HEADER), 8);
        assert_eq!(record_bytes(SEGMENT - 8, SEGMENT + PAGE + HEADER + 8), 16 + PAGE - LONG_HEADER);
    }

    #[test]
    fn room_ends_at_the_boundary_asked_for() {
        assert_eq!(Boundary::Page.room(PAGE + 24, 8168), 8168);
        assert_eq!(Boundary::Page.room(PAGE + 24, 8160), 8168 * 2, "8 bytes cannot be padded");
        assert_eq!(
            Boundary::Page.room(SEGMENT - 100, 48),
            100 + PAGE - LONG_HEADER,
            "not at a segment's end"
        );
        assert_eq!(Boundary::Segment.room(SEGMENT - PAGE - 100, 200), 100 + PAGE - HEADER);
        assert_eq!(
            Boundary::Segment.room(SEGMENT - 100, 48),
            100 + SEGMENT - LONG_HEADER - (SEGMENT / PAGE - 1) * HEADER
        );
    }

    #[test]
    fn record_end_steps_back_behind_headers_only() {
        assert_eq!(record_end(3 * PAGE + HEADER), 3 * PAGE);
        assert_eq!(record_end(SEGMENT + LONG_HEADER), SEGMENT);
        assert_eq!(record_end(SEGMENT + HEADER), SEGMENT + HEADER);
        assert_eq!(record_end(3 * PAGE + LONG_HEADER), 3 * PAGE + LONG_HEADER);
    }
}
