//! What a transaction may be begun with.

use crate::connection::RoutedPgConnection;

/// A transaction with options, not begun yet; from `build_transaction` of a routed connection, synchronous or not.
#[derive(Debug)]
#[must_use = "a transaction does nothing before `run`"]
pub struct TransactionBuilder<'a, C = RoutedPgConnection> {
    pub(crate) connection: &'a mut C,
    pub(crate) options: Options,
}

impl<'a, C> TransactionBuilder<'a, C> {
    /// A transaction without options.
    pub const fn new(connection: &'a mut C) -> Self {
        Self { connection, options: Options { isolation: None, read_only: None, deferrable: None } }
    }

    /// Makes it `READ ONLY`. Unless it is also [`serializable`](Self::serializable), a replica may serve it that has
    /// everything that this handle must see.
    pub const fn read_only(mut self) -> Self {
        self.options.read_only = Some(true);
        self
    }

    /// Makes it `READ WRITE`.
    pub const fn read_write(mut self) -> Self {
        self.options.read_only = Some(false);
        self
    }

    /// Makes it `DEFERRABLE`.
    pub const fn deferrable(mut self) -> Self {
        self.options.deferrable = Some(true);
        self
    }

    /// Makes it `NOT DEFERRABLE`.
    pub const fn not_deferrable(mut self) -> Self {
        self.options.deferrable = Some(false);
        self
    }

    /// Makes its isolation level `READ COMMITTED`.
    pub const fn read_committed(mut self) -> Self {
        self.options.isolation = Some(Isolation::ReadCommitted);
        self
    }

    /// Makes its isolation level `REPEATABLE READ`.
    pub const fn repeatable_read(mut self) -> Self {
        self.options.isolation = Some(Isolation::RepeatableRead);
        self
    }

    /// Makes its isolation level `SERIALIZABLE`, which replicas do not have.
    pub const fn serializable(mut self) -> Self {
        self.options.isolation = Some(Isolation::Serializable);
        self
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    isolation: Option<Isolation>,
    pub(crate) read_only: Option<bool>,
    deferrable: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Options {
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
