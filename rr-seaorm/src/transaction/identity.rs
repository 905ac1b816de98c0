//! The number of a transaction, by which it can be asked for when its COMMIT was not answered.

use rr_core::outcome::TransactionId;
use rr_core::position::{Lsn, PgPosition, Timeline};
use rr_core::topology::Role;
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Statement};

use super::Root;

/// Asks a transaction for its number, and where the log ends after what it has written.
const IDENTIFY: &str = "/*rr*/ SELECT pg_current_xact_id_if_assigned()::text, \
    pg_walfile_name(pg_current_wal_insert_lsn()), pg_current_wal_insert_lsn()::text, \
    pg_size_bytes(current_setting('wal_segment_size')), (extract(epoch FROM now()) * 1000000)::int8";

/// The answer; `None` when the transaction has written nothing.
fn read_identity(row: &QueryResult) -> Option<TransactionId> {
    let text = |column| row.try_get_by_index::<Option<String>>(column).ok().flatten();
    let number = |column| row.try_get_by_index::<i64>(column).ok();
    let timeline = Timeline::from_wal_file_name(&text(1)?).ok()?;
    let lsn: Lsn = text(2)?.parse().ok()?;
    let at = PgPosition::new(timeline, lsn.normalised(u64::try_from(number(3)?).ok()?));
    TransactionId::new(text(0)?.parse().ok()?, at.into(), number(4)?)
}

impl Root {
    /// Has the transaction learn its number, where the configuration asks for it.
    pub(super) async fn identify(&self, inner: &DatabaseTransaction) -> Option<TransactionId> {
        if self.role != Role::Primary || !self.ledger.router.config().failover.resolve_outcomes {
            return None;
        }
        let question = Statement::from_string(inner.get_database_backend(), IDENTIFY);
        match self.within(inner.query_one_raw(question)).await {
            Ok(row) => read_identity(&row?),
            Err(error) => {
                tracing::debug!(target: "rr", %error, "the number of a transaction is not known");
                None
            }
        }
    }
}
