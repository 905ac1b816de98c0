//! The scanner of SQL text.

use rr_core::sql::{Dialect, StatementClass, classify, scan, why};

use crate::{parser, server};

/// What the parser calls more than a read is no read for us, and every text has a class.
///
/// # Panics
/// When it is not so.
pub fn no_write_is_a_read(sql: &str, dialect: Dialect) {
    let class = classify(sql, dialect);
    assert_eq!(class, scan(sql, dialect).class, "{dialect:?}: {sql:?}");
    let _reasons = why(sql, dialect);
    if class != StatementClass::Read {
        return;
    }
    let Some(statements) = parser::parse(sql, dialect) else { return };
    if let Some(why) = parser::more_than_a_read(&statements, dialect)
        && !server::refuses(sql, dialect)
    {
        panic!("a read for us, but not for the parser ({why}), {dialect:?}: {sql:?}");
    }
}

/// A whole statement that is no read does not become one when text is appended.
///
/// What is whole the parser says: `WITH x AS (` is no read yet.
///
/// # Panics
/// When it is not so.
pub fn appending_makes_no_read(start: &str, rest: &str, dialect: Dialect) {
    let before = classify(start, dialect);
    if before == StatementClass::Read {
        return;
    }
    let longer = format!("{start}\n{rest}");
    if classify(&longer, dialect) != StatementClass::Read {
        return;
    }
    // A `(` behind this makes a window function of a sequence's column.
    if start.to_ascii_lowercase().contains("last_value") {
        return;
    }
    let whole = parser::is_whole(start, dialect) && !server::refuses(start, dialect);
    assert!(!whole, "{before} became a read, {dialect:?}: {start:?} + {rest:?}");
}
