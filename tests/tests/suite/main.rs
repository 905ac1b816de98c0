//! Tests of the harness itself, of the core on real servers, and everything that is tabulated.

mod cluster;
mod exporting;
mod log;
mod metrics;
mod notifying;
mod queries;
mod router;
mod sessions;
mod simulation;
mod sql_spec;
