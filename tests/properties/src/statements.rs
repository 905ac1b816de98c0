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
    if let Some(Err(why)) = second_opinion(sql, dialect)
        && !server::refuses(sql, dialect)
    {
        panic!("a read for us, but not for the parser ({why}), {dialect:?}: {sql:?}");
    }
}

/// What the parser says of a read of ours: why it is none, if it is none. It says nothing of what it does not understand.
#[must_use]
pub fn second_opinion(sql: &str, dialect: Dialect) -> Option<Result<(), String>> {
    if classify(sql, dialect) != StatementClass::Read {
        return None;
    }
    let statements = parser::parse(sql, dialect)?;
    Some(parser::more_than_a_read(&statements, dialect).map_or(Ok(()), Err))
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
    let column = dialect == Dialect::Postgres && start.to_ascii_lowercase().contains("last_value");
    if column && without_comments(rest).starts_with('(') {
        return;
    }
    let whole = parser::is_whole(start, dialect) && !server::refuses(start, dialect);
    assert!(!whole, "{before} became a read, {dialect:?}: {start:?} + {rest:?}");
}

/// Without the white space and the comments that it begins with.
fn without_comments(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        let behind = match rest.get(..2) {
            Some("--") => rest.split_once('\n').map(|(_, behind)| behind),
            Some("/*") => behind_comment(rest),
            _ => return rest,
        };
        let Some(behind) = behind else { return "" };
        rest = behind.trim_start();
    }
}

/// What comes behind a comment in `/* */`, in which there may be others.
fn behind_comment(text: &str) -> Option<&str> {
    let (mut depth, mut rest) = (0, text);
    loop {
        let at = rest.find(['/', '*'])?;
        rest = rest.get(at..)?;
        depth = match rest.get(..2) {
            Some("/*") => depth + 1,
            Some("*/") => depth - 1,
            _ => {
                rest = rest.get(1..)?;
                continue;
            }
        };
        rest = rest.get(2..)?;
        if depth == 0 {
            return Some(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_passed_over() {
        for (text, rest) in [
            (" (a", "(a"),
            ("-- x\n /* a /* b */ c **/ ( d", "( d"),
            ("/* a /* b */ (", ""),
            ("-- (", ""),
            ("/ (", "/ ("),
            ("é", "é"),
        ] {
            assert_eq!(without_comments(text), rest);
        }
    }

    #[test]
    fn a_sequences_column_stays_one_but_for_a_parenthesis() {
        let start = "SELECT last_value";
        for rest in ["FROM s", ", 1", "AS a FROM s (a)", "/* ( */ FROM s", "(a) OVER () FROM s"] {
            appending_makes_no_read(start, rest, Dialect::Postgres);
        }
    }
}
