//! An application that has never heard of rr, on clusters.

mod support;
mod worlds;
