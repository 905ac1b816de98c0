//! An application that has never heard of rr, on clusters.

mod served;
mod support;
mod witness;
mod worlds;
