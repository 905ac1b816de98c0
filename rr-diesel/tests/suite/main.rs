//! rr-diesel against real servers.

#[cfg(feature = "blocking")]
mod blocking;
mod consistency;
mod failures;
mod handle;
mod hints;
mod kinds;
mod load;
mod pools;
mod readers;
mod routes;
mod support;
mod tls;
mod types;
