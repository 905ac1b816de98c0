//! Why a statement goes nowhere.

use std::sync::Arc;
use std::time::Duration;

use crate::select::Rejection;
use crate::token::LostWrite;
use crate::topology::{Epoch, NoPrimary};

/// There is no node for a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// There is nowhere to write.
    #[error("epoch {epoch}: {why}")]
    NoPrimary {
        /// The epoch at that time.
        epoch: Epoch,
        /// Why there is no primary.
        why: NoPrimary,
    },
    /// As many writes wait for a primary as may.
    #[error(
        "{limit} writes wait for a primary already (`write_queue`), and this one was refused at once; \
         check the primary, and shed load until it is back"
    )]
    WriteQueueFull {
        /// How many may wait.
        limit: u32,
    },
    /// There is a primary that cannot be connected to.
    #[error(
        "`{node}` is the primary and could not be connected to within {waited:?} (`write_wait`); check the server"
    )]
    PrimaryUnreachable {
        /// The primary.
        node: Arc<str>,
        /// How long it was tried.
        waited: Duration,
    },
    /// No node may serve.
    #[error("epoch {epoch}: no node may serve this read: {}", list(.rejected))]
    NoEligibleNode {
        /// The epoch at that time.
        epoch: Epoch,
        /// Why each node was refused.
        rejected: Vec<(Arc<str>, Rejection)>,
    },
    /// The read would have to go to the primary, and the budget for that is spent.
    #[error(
        "no replica may serve this read and the budget for reads on the primary is spent \
         (`primary_reads.per_second`); check the replicas: {}", list(.rejected)
    )]
    BudgetSpent {
        /// Why each replica was refused.
        rejected: Vec<(Arc<str>, Rejection)>,
    },
    /// No replica has what the read must see, and the configuration wants it to fail then.
    #[error("no replica has what this read must see (`causal_else` is \"error\"): {}", list(.rejected))]
    NotCaughtUp {
        /// Why each node was refused.
        rejected: Vec<(Arc<str>, Rejection)>,
    },
    /// The session wrote something that a failover has lost.
    #[error(transparent)]
    LostWrite(Box<LostWrite>),
}

fn list(rejected: &[(Arc<str>, Rejection)]) -> String {
    if rejected.is_empty() {
        return "there is none".to_owned();
    }
    let each: Vec<String> = rejected.iter().map(|(node, why)| format!("`{node}` {why}")).collect();
    each.join("; ")
}

impl From<LostWrite> for RouteError {
    /// Boxed: every route is handed over beside the room for its error.
    fn from(lost: LostWrite) -> Self {
        Self::LostWrite(Box::new(lost))
    }
}
