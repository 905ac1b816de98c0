//! What promises or accounting rest on between threads: the real things, or loom's and our own twins of them where loom runs
//! their interleavings.

#[cfg(all(test, rr_loom))]
mod atomics;
#[cfg(all(test, rr_loom))]
mod twins;

#[cfg(not(all(test, rr_loom)))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

#[cfg(all(test, rr_loom))]
pub(crate) use atomics::{AtomicBool, AtomicU32, AtomicU64, Ordering, is_exchanging};
#[cfg(all(test, rr_loom))]
pub(crate) use twins::{News, Swap, block_on};

/// What everybody reads as a whole, and one replaces.
#[cfg(not(all(test, rr_loom)))]
pub(crate) type Swap<T> = arc_swap::ArcSwap<T>;

/// Counts publications, and wakes whoever waits for the next one.
#[cfg(not(all(test, rr_loom)))]
pub(crate) type News = tokio::sync::watch::Sender<u64>;
