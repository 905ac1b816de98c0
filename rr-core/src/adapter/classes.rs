//! What is known about statements: scanned once per query type, corrected by what servers say.

use std::any::TypeId;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::texts::Texts;
use self::types::Types;
use super::refusals::Refusals;
use crate::sql::{Classified, Dialect, Hint, StatementClass, scan, up_to_values};
use crate::time::Moment;
use arc_swap::ArcSwapOption;

mod texts;
mod types;

/// Texts that are remembered at most. An application whose texts differ each time must not fill the memory.
const LEARNED: usize = 4096;

/// Of so many the log tells: an application that writes values into its texts has a new one each time.
const TOLD: u64 = 100;

/// The table of Diesel's migrations: read stale, it lets them run twice.
const MIGRATIONS: &str = "__diesel_schema_migrations";

/// The classes of the statements that one router has met. Readers never lock.
#[derive(Debug)]
pub struct Classes {
    dialect: Dialect,
    /// Statements whose type says what their text is.
    types: Types,
    /// Statements of which the text is all that is known.
    texts: Texts,
    /// Texts that looked like reads and were refused by a replica, by their hash.
    writes: ArcSwapOption<HashSet<u64>>,
    hasher: RandomState,
    misroutes: AtomicU64,
    refusals: Refusals,
}

impl Classes {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            types: Types::default(),
            texts: Texts::default(),
            writes: ArcSwapOption::default(),
            hasher: RandomState::default(),
            misroutes: AtomicU64::new(0),
            refusals: Refusals::default(),
        }
    }

    /// What is known about a type of statement that was met before.
    #[must_use]
    #[inline]
    pub fn known(&self, id: TypeId) -> Option<Classified> {
        self.types.get(id).map(|met| met.classified())
    }

    /// What is known about a type of statement that was met before, and its text.
    #[must_use]
    #[inline]
    pub fn met(&self, id: TypeId) -> Option<(Classified, &Arc<str>)> {
        self.types.get(id).map(|met| (met.classified(), &met.text))
    }

    /// What a statement is. `id` names its type where that alone says what its text is.
    #[must_use]
    pub fn classify(&self, id: Option<TypeId>, sql: &str) -> Classified {
        let Some(id) = id else {
            return self.texts.known(sql).unwrap_or_else(|| {
                let scanned = self.scan(sql);
                self.texts.remember(sql, || scanned.looked_at(sql));
                scanned
            });
        };
        if let Some(known) = self.known(id) {
            return known;
        }
        self.types.remember(id, self.scan(sql).looked_at(sql), sql).classified()
    }

    /// A replica refused a statement that was taken for a read: it is a write from now on.
    pub fn learn_write(&self, id: Option<TypeId>, sql: &str) {
        let before = self.misroutes.fetch_add(1, Ordering::Relaxed);
        if before < TOLD {
            let sql = up_to_values(sql);
            tracing::info!(target: "rr", sql, "a statement that looked like a read writes; it goes to the primary from now on");
        }
        if let Some(id) = id {
            self.types.remember(id, self.scan(sql).looked_at(sql), sql).learn_write();
            return;
        }
        let hash = self.hasher.hash_one(sql);
        self.writes.rcu(|writes| {
            let mut writes = writes.as_deref().cloned().unwrap_or_default();
            if writes.len() < LEARNED {
                writes.insert(hash);
            }
            Some(Arc::new(writes))
        });
        let mut learned = self.scan(sql);
        learned.class = StatementClass::Write;
        self.texts.learn(sql, learned.looked_at(sql));
    }

    /// A replica failed a read for a reason that the driver does not show, and the primary served it. Several times, it is
    /// the primary's for a while: it may be one that standbys never run.
    pub fn note_refused(&self, id: Option<TypeId>, sql: &str, now: Moment) {
        let many = match id {
            Some(id) => self.refusals.note(&id, now),
            None => self.refusals.note(&sql, now),
        };
        if many {
            let sql = up_to_values(sql);
            tracing::info!(target: "rr", sql, "replicas fail a read that the primary serves; it goes to the primary for a minute");
        }
    }

    /// Whether the primary should be asked first, because replicas have failed this read again and again.
    #[must_use]
    #[inline]
    pub fn is_refused(&self, id: Option<TypeId>, sql: &str, now: impl FnOnce() -> Moment) -> bool {
        match id {
            Some(id) => self.refusals.are_many(&id, now),
            None => self.refusals.are_many(&sql, now),
        }
    }

    /// How often a replica refused a statement that was taken for a read.
    #[must_use]
    pub fn misroutes(&self) -> u64 {
        self.misroutes.load(Ordering::Relaxed)
    }

    fn scan(&self, sql: &str) -> Classified {
        let mut classified = scan(sql, self.dialect);
        if classified.class != StatementClass::Read {
            return classified;
        }
        if sql.contains(MIGRATIONS) {
            classified.hint = Some(Hint::Primary);
        }
        if let Some(writes) = self.writes.load().as_ref()
            && writes.contains(&self.hasher.hash_one(sql))
        {
            classified.class = StatementClass::Write;
        }
        classified
    }
}
