//! The integration tests of the family, in one binary.

mod sql_spec;
