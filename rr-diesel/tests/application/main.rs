//! One application under every connection and every pool that it may be compiled with: each must tell the same story.
//!
//! The application is `story.rs`; for Diesel's own connections it is `blocking_story.rs`. A variant is one of these
//! files and two type aliases.

mod asynchronous;
#[cfg(feature = "blocking")]
mod blocking;
mod ground;
mod models;
