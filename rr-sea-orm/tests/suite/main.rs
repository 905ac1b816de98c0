//! An application that has never heard of rr, on clusters.

mod hinted;
mod lists;
mod served;
mod support;
mod witness;
mod worlds;
