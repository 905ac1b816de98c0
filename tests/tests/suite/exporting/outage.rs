//! An application that exports by OTLP, and a receiver of it.
use super::*;
