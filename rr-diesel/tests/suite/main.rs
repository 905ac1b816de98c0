//! rr-diesel against real servers.

mod consistency;
mod failures;
mod handle;
mod hints;
mod routes;
mod support;
