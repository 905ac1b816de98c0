//! What a transaction may be begun with.

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) isolation: Option<Isolation>,
    pub(crate) read_only: Option<bool>,
    pub(crate) deferrable: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Options {
    pub(crate) const DEFAULT: Self = Self { isolation: None, read_only: None, deferrable: None };

    /// Whether a replica may have it. Replicas do not know `SERIALIZABLE`.
    pub(crate) fn suit_replicas(&self) -> bool {
        self.read_only == Some(true) && self.isolation != Some(Isolation::Serializable)
    }

    /// How it begins.
    pub(crate) fn sql(&self) -> String {
        let mut sql = "BEGIN TRANSACTION".to_owned();
        sql.push_str(match self.isolation {
            None => "",
            Some(Isolation::ReadCommitted) => " ISOLATION LEVEL READ COMMITTED",
            Some(Isolation::RepeatableRead) => " ISOLATION LEVEL REPEATABLE READ",
            Some(Isolation::Serializable) => " ISOLATION LEVEL SERIALIZABLE",
        });
        sql.push_str(match self.read_only {
            None => "",
            Some(true) => " READ ONLY",
            Some(false) => " READ WRITE",
        });
        sql.push_str(match self.deferrable {
            None => "",
            Some(true) => " DEFERRABLE",
            Some(false) => " NOT DEFERRABLE",
        });
        sql
    }
}
