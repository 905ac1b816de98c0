//! What each token means to the ones behind it.

use super::names::Names;

/// The last token: what it is, and if it is a bare word that is listed, which. Words with the same effect share
/// a variant. The rules look at nothing else that lies behind them, so this is all the loop carries along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// A word that is not listed, or a quoted name.
    Name,
    /// A name right behind `AS`: never the name of a function.
    Label,
    /// A string, a number or a parameter.
    Literal,
    Open,
    Close,
    Dot,
    Semicolon,
    Symbol,

    /// `SELECT`, `VALUES`, `TABLE`: the main verb of a query.
    Query,
    /// A verb that only ever reads and takes no query: `HELP`.
    ReadVerb,
    /// A verb that ties what follows to this connection: `SET`, `LISTEN`, `COMMIT`, …
    SessionVerb,
    /// `INSERT`, `MERGE`; with the next two, what a `WITH` can hide.
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
    /// `LOCAL`, `GLOBAL`, `REPLACE`: may stand between the verb and `TEMP`.
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

    /// `FOR NO`, `FOR KEY`
    ForNo,
    ForKey,
    /// `INTO LOCAL`, `INTO GLOBAL`
    IntoLocal,
    /// `NEXT VALUE`, `PREVIOUS VALUE`
    NextValue,
    PreviousValue,

    /// A relation or schema whose rows describe one server, not the data.
    NodeRelation,
    /// A relation whose rows describe this connection.
    ConnectionRelation,
}

/// The listed words of one dialect.
pub(super) type Keywords = Names<Seen, 512>;
