//! What every adapter does alike: which node a statement asks for, where to go when a node did not serve it, how long to
//! go on, and what its writes make later reads see.
//!
//! An adapter lowers a statement of its ORM to text, has it [classified](Classes::classify), combines that with the hints
//! it came across ([`Wish`]), and then runs it [the way](Wish::way) that this leads to: a read by a [`Search`] that goes
//! from node to node, a write once on the primary with a [`Suspect`] that counts it as done unless it is proven
//! otherwise. Which requirement that means, and who learns of a write, is the [`Ledger`]'s business.

mod classes;
mod explain;
mod ledger;
mod patience;
mod refusals;
mod row_limit;
mod search;
mod suspect;
mod turn;
mod waits;
mod wish;

pub use classes::Classes;
pub use ledger::Ledger;
pub use patience::Patience;
pub use row_limit::RowLimit;
pub use search::{Next, Search};
pub use suspect::{Ended, Suspect, Unplaced, Unread};
pub use turn::Turn;
pub use waits::{Waiting, Waits};
pub use wish::{Place, Way, Wish};
