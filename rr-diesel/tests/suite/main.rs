//! rr-diesel against real servers.

mod consistency;
mod failures;
mod handle;
mod hints;
mod pools;
mod routes;
mod support;
mod types;
