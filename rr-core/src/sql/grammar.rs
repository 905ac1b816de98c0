//! What differs between the dialects, as constants, so that each gets its own copy of the scanner.

use super::StatementClass;
use super::bytes::Byte;
use super::functions::Functions;
use super::keywords::Keywords;

/// How one family of servers reads SQL.
pub(super) trait Grammar {
    /// What a token can begin with.
    const BYTES: &'static [Byte; 256];

    /// MySQL's lexical habits rather than the standard's: backslash escapes, comments that do not nest and
    /// comments that run, `--` only before a space, variables.
    const MYSQL: bool;

    /// The words that can change what a statement is.
    const KEYWORDS: &'static Keywords;

    /// The functions that are more than a read.
    const FUNCTIONS: &'static Functions;

    /// What `SHOW <word>` is; `None` when `word` is only a modifier and the next one decides.
    fn show(word: &[u8]) -> Option<StatementClass>;
}
