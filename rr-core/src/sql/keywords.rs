//! The words that can change what a statement is.

use super::names::{Names, Word};

/// What a bare word means to the rules. Words with the same effect share a variant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keyword {
    /// Any word that is not listed.
    None,

    /// `SELECT`, `VALUES`, `TABLE`: the main verb of a query.
    Query,
    /// A verb that only ever reads and takes no query: `HELP`.
    ReadVerb,
    /// A verb that ties what follows to this connection: `SET`, `LISTEN`, `COMMIT`, …
    SessionVerb,
    /// `INSERT`, `UPDATE`, `DELETE`, `MERGE`: what a `WITH` can hide. `UPDATE` also follows `FOR`.
    Insert,
    Update,
    Delete,
    With,
    Show,
    Explain,
    Begin,
    Prepare,
    Create,
    Drop,
    Start,
    Flush,
    Lock,
    /// `ALTER`, `GRANT`, `REVOKE`, `RENAME`: may name an account as `user@host`.
    AccountVerb,

    As,
    Into,
    For,
    No,
    Key,
    Share,
    In,
    /// `TEMP`, `TEMPORARY`.
    Temp,
    /// `LOCAL`, `GLOBAL`, `REPLACE`, `RECURSIVE`: may stand between the verb and `TEMP`.
    BeforeTemp,
    Transaction,
    Read,
    Export,
    Next,
    Previous,
    Value,
    LastValue,
    Analyze,
    /// A word between `EXPLAIN` and the statement.
    ExplainOption,
    /// `FUNCTION`, `PROCEDURE`, `TRIGGER`, `EVENT`, `PACKAGE`: what follows may be a body that runs later.
    Routine,
    Atomic,
    /// `SQL_CALC_FOUND_ROWS`: the next statement asks this connection for the number.
    CalcFoundRows,

    /// A relation or schema whose rows describe one server, not the data.
    NodeRelation,
    /// A relation whose rows describe this connection.
    ConnectionRelation,
}

impl Keyword {
    /// Whether the word matters even when it is quoted or qualified.
    pub(super) const fn is_relation(self) -> bool {
        matches!(self, Self::NodeRelation | Self::ConnectionRelation)
    }
}

pub(super) type Keywords = Names<Keyword, 512>;

/// The keyword that `word` is.
#[inline]
pub(super) fn keyword(words: &Keywords, word: Word<'_>) -> Keyword {
    words.get(word).unwrap_or(Keyword::None)
}
