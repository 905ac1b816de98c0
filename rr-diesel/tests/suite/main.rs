//! rr-diesel against real servers.

mod consistency;
mod failures;
mod handle;
mod routes;
mod support;
