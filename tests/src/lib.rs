//! What every test, benchmark and example of rr stands on: real clusters and a simulation.
//!
//! [`cluster`] boots real PostgreSQL servers in about a second and removes them whatever happens;
//! [`plain`] lets the core be tested without an ORM;
//! [`proxy`] is the network between them, which a test may cut, slow down or silence.

pub mod cluster;
pub mod plain;
pub mod proxy;
pub mod wait;
