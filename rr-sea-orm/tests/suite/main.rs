//! An application that has never heard of rr, on clusters.

mod load;
mod support;
mod worlds;
