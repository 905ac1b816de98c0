//! rr-diesel against real servers.

#[cfg(feature = "blocking")]
mod blocking;
mod cancellation;
mod consistency;
mod discovery;
mod explaining;
#[cfg(feature = "axum")]
mod extract;
mod failovers;
mod failures;
mod handle;
mod hanging;
mod hints;
mod kinds;
mod language;
mod lending;
mod levels;
mod limits;
mod line;
mod load;
mod midway;
mod options;
mod outages;
mod outcomes;
mod overload;
mod partly;
mod pools;
mod promotions;
mod readers;
mod routes;
mod standbys;
mod starting;
mod support;
mod texts;
mod tls;
mod trips;
mod types;
mod waiting;
