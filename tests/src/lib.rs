//! What every test, benchmark and example of rr stands on: real clusters and a simulation.
//!
//! [`cluster`] boots real PostgreSQL servers in about a second and removes them whatever happens;
//! [`guarded`] starts other programs, and ends them with the test;
//! [`plain`] lets the core be tested without an ORM;
//! [`prometheus`] is a real one, beside an application;
//! [`provided`] sets servers up by what is shipped for them;
//! [`proxy`] is the network between them, which a test may cut, slow down or silence;
//! [`spans`] records what a process traces;
//! [`storm`] has many more clients than connections;
//! [`tls`] gives the servers certificates;
//! [`simulation`] runs thousands of failovers a second without any server.

pub mod cluster;
pub mod come_and_go;
pub mod failovers;
pub mod giving_up;
pub mod guarded;
pub mod lease;
pub mod load;
pub mod outage;
pub mod plain;
pub mod prometheus;
pub mod provided;
pub mod proxy;
pub mod simulation;
pub mod spans;
pub mod storm;
pub mod tls;
pub mod wait;

/// The snippets of the documentation, so that `cargo test --doc` compiles them.
#[cfg(doctest)]
mod documentation {
    #[doc = include_str!("../../README.md")]
    mod readme {}
    #[doc = include_str!("../../docs/tour.md")]
    mod tour {}
    #[doc = include_str!("../../docs/guide/adding-an-adapter.md")]
    mod adding_an_adapter {}
    #[doc = include_str!("../../docs/guide/concepts.md")]
    mod concepts {}
    #[doc = include_str!("../../docs/guide/configuration.md")]
    mod configuration {}
    #[doc = include_str!("../../docs/guide/consistency.md")]
    mod consistency {}
    #[doc = include_str!("../../docs/guide/discovery.md")]
    mod discovery {}
    #[doc = include_str!("../../docs/guide/monitoring.md")]
    mod monitoring {}
    #[doc = include_str!("../../docs/guide/notifications.md")]
    mod notifications {}
    #[doc = include_str!("../../docs/guide/operating.md")]
    mod operating {}
    #[doc = include_str!("../../docs/guide/production.md")]
    mod production {}
    #[doc = include_str!("../../docs/guide/replication.md")]
    mod replication {}
    #[doc = include_str!("../../docs/guide/troubleshooting.md")]
    mod troubleshooting {}
    #[doc = include_str!("../../docs/guide/tuning.md")]
    mod tuning {}
    #[doc = include_str!("../../docs/guide/upgrading.md")]
    mod upgrading {}
}
