//! Tests of the harness itself, and everything that is tabulated.

mod cluster;
