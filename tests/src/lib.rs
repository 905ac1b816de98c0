//! What every test, benchmark and example of rr stands on: real clusters and a simulation.
