//! Types of statements that were met before.

use std::any::TypeId;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::sql::{Classified, StatementClass};

/// Lists that types are spread over: most programs have fewer types of statements than that.
const LISTS: usize = 512;

/// What the statements of each type are. Nothing is ever taken out, so that readers neither lock nor count: there are as many as
/// the program has query types.
#[derive(Debug)]
pub(super) struct Types(Box<[List]>);

type List = OnceLock<Box<Met>>;

/// What is known of a type of statement, and the next type of its list.
#[derive(Debug)]
pub(super) struct Met {
    id: TypeId,
    pub(super) text: Arc<str>,
    scanned: Classified,
    /// A replica has refused it.
    writes: AtomicBool,
    next: List,
}

impl Met {
    #[inline]
    pub(super) fn classified(&self) -> Classified {
        match self.writes.load(Ordering::Relaxed) {
            false => self.scanned,
            true => Classified::new(StatementClass::Write, self.scanned.hint),
        }
    }

    pub(super) fn learn_write(&self) {
        self.writes.store(true, Ordering::Relaxed);
    }
}

impl Default for Types {
    fn default() -> Self {
        Self((0..LISTS).map(|_| List::new()).collect())
    }
}

impl Types {
    #[inline]
    pub(super) fn get(&self, id: TypeId) -> Option<&Met> {
        let mut list = self.list(id);
        loop {
            let met = list.get()?;
            if met.id == id {
                return Some(met);
            }
            list = &met.next;
        }
    }

    /// Remembers a type, unless it is known by now.
    pub(super) fn remember(&self, id: TypeId, scanned: Classified, sql: &str) -> &Met {
        let mut list = self.list(id);
        loop {
            let met = list.get_or_init(|| {
                let (text, writes) = (sql.into(), AtomicBool::new(false));
                Box::new(Met { id, text, scanned, writes, next: List::new() })
            });
            if met.id == id {
                return met;
            }
            list = &met.next;
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower bits of a hash do")]
    #[inline]
    fn list(&self, id: TypeId) -> &List {
        let mut hash = AsItIs::default();
        id.hash(&mut hash);
        &self.0[hash.finish() as usize % self.0.len()]
    }
}

/// Takes a `TypeId` as its own hash: the compiler has hashed it.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    /// What a `TypeId` writes is not promised to be a number.
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_ne_bytes(word));
        }
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(5) ^ number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, scan};

    struct Nth<const N: usize>;

    /// The types `Nth<0>` to `Nth<15>`.
    fn sixteen() -> Vec<TypeId> {
        macro_rules! ids {
            ($($n:literal)*) => { vec![$(TypeId::of::<Nth<$n>>()),*] };
        }
        ids!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    }

    #[test]
    fn types_in_one_list_are_told_apart_and_what_was_scanned_first_stays() {
        let types = Types(Box::new([List::new(), List::new()]));
        for (number, id) in sixteen().into_iter().enumerate() {
            assert!(types.get(id).is_none());
            let sql = format!("SELECT {number}");
            types.remember(id, scan(&sql, Dialect::Postgres), &sql);
            types.remember(id, Classified::new(StatementClass::Write, None), "UPDATE t SET n = 1");
        }
        for (number, id) in sixteen().into_iter().enumerate() {
            let met = types.get(id).unwrap();
            assert_eq!(
                (&*met.text, met.classified().class),
                (&*format!("SELECT {number}"), StatementClass::Read)
            );
        }
        types.get(sixteen()[3]).unwrap().learn_write();
        let classes = sixteen().into_iter().map(|id| types.get(id).unwrap().classified().class);
        assert_eq!(classes.filter(|class| *class == StatementClass::Write).count(), 1);
    }
}
