//! The atomics that promises or accounting rest on: the standard library's, or loom's twins where loom runs their interleavings.

#[cfg(all(test, rr_loom))]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
#[cfg(not(all(test, rr_loom)))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
