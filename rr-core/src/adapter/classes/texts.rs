//! Texts that were met before, so that they are not scanned again.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::sql::Classified;

/// So many are remembered, and stay. An application that writes values into its texts has new ones all the time, and gains nothing.
const MANY: usize = 512;

/// Longer ones are scanned each time.
const LONG: usize = 2048;

/// What these texts are. Readers never lock.
#[derive(Debug, Default)]
pub(super) struct Texts(ArcSwap<HashMap<Arc<str>, Classified>>);

impl Texts {
    pub(super) fn known(&self, sql: &str) -> Option<Classified> {
        self.0.load().get(sql).copied()
    }

    /// Remembers what a text is, unless something is known by now.
    pub(super) fn remember(&self, sql: &str, scanned: impl FnOnce() -> Classified) {
        if self.has_room(sql) {
            let scanned = scanned();
            self.put(sql, |known| known.unwrap_or(scanned));
        }
    }

    /// Remembers what was learned of it, so that nobody who is just scanning it remembers less.
    pub(super) fn learn(&self, sql: &str, learned: Classified) {
        if self.has_room(sql) {
            self.put(sql, |_| learned);
        }
    }

    fn has_room(&self, sql: &str) -> bool {
        sql.len() <= LONG && is_for(&self.0.load(), sql)
    }

    fn put(&self, sql: &str, merged: impl Fn(Option<Classified>) -> Classified) {
        let text: Arc<str> = sql.into();
        self.0.rcu(|texts| {
            let mut texts = HashMap::clone(texts);
            if is_for(&texts, sql) {
                let known = texts.get(sql).copied();
                texts.insert(Arc::clone(&text), merged(known));
            }
            texts
        });
    }
}

fn is_for(texts: &HashMap<Arc<str>, Classified>, sql: &str) -> bool {
    texts.len() < MANY || texts.contains_key(sql)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, StatementClass, scan};

    fn read(texts: &Texts, sql: &str) {
        texts.remember(sql, || scan(sql, Dialect::Postgres));
    }

    #[test]
    fn there_is_room_for_so_many() {
        let texts = Texts::default();
        read(&texts, &format!("SELECT '{}'", "x".repeat(LONG)));
        assert_eq!(texts.0.load().len(), 0);
        for number in 0..2 * MANY {
            read(&texts, &format!("SELECT {number}"));
        }
        assert_eq!(texts.0.load().len(), MANY);
        assert!(texts.known("SELECT 0").is_some() && texts.known(&format!("SELECT {MANY}")).is_none());
    }

    #[test]
    fn what_was_learned_is_not_forgotten_for_what_was_scanned_before() {
        let texts = Texts::default();
        let sql = "SELECT charge()";
        texts.learn(sql, Classified::new(StatementClass::Write, None));
        read(&texts, sql);
        assert_eq!(texts.known(sql).map(|known| known.class), Some(StatementClass::Write));
    }
}
