//! A set of names that is looked up once per word of SQL, so it has to say "no" in about a nanosecond.
//!
//! Two steps. A bit per (first letter, length) refuses nearly every ordinary word without reading it. What
//! passes is hashed by its first and last eight bytes, folded to lower case, into a table that the compiler
//! has built.

use super::bytes::tail;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    head: u64,
    tail: u64,
}

impl Key {
    const fn slot(self, len: usize, slots: usize) -> usize {
        let mixed = (self.head ^ self.tail.rotate_left(25) ^ len as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // The high half has the best bits; `slots` is a power of two.
        ((mixed >> 40) as u32 as usize) & (slots - 1)
    }
}

/// Lower case for letters. Injective on what names are made of (letters, digits, `_`, `$`), which is all that
/// a comparison with a listed name needs.
const fn fold(bytes: u64) -> u64 {
    bytes | 0x2020_2020_2020_2020
}

/// The key of the word from `start` to `end`.
#[inline]
fn key(text: &[u8], start: usize, end: usize) -> Key {
    let head = fold(load(text, start));
    match end - start {
        len @ ..8 => {
            let head = head & ((1 << (len * 8)) - 1);
            Key { head, tail: head }
        }
        8 => Key { head, tail: head },
        _ => Key { head, tail: fold(load(text, end - 8)) },
    }
}

/// Eight bytes from `at`; zeros beyond the end.
#[inline]
fn load(text: &[u8], at: usize) -> u64 {
    match text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => tail(text, at),
    }
}

/// One place in the table.
#[derive(Clone, Copy)]
struct Slot<V> {
    key: Key,
    /// Zero when the place is free.
    len: u8,
    value: V,
    /// Into `entries`.
    index: u16,
}

/// Names in lower case, each with what it means. `SLOTS` is a power of two, at least twice the number of names.
pub(super) struct Names<V: Copy + 'static, const SLOTS: usize> {
    /// Bit `n` of entry `c`: some name begins with the byte `c` (either case) and is `n` bytes long.
    lengths: [u64; 256],
    slots: [Slot<V>; SLOTS],
    entries: &'static [(&'static str, V)],
}

impl<V: Copy + 'static, const SLOTS: usize> Names<V, SLOTS> {
    /// Builds the table; meant for a `static`, so that a bad list fails to compile.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the asserts bound every number; const code has no TryFrom"
    )]
    pub(super) const fn new(entries: &'static [(&'static str, V)]) -> Self {
        assert!(SLOTS.is_power_of_two() && entries.len() * 2 <= SLOTS && SLOTS <= 1 << 15);
        let mut lengths = [0_u64; 256];
        let mut slots =
            [Slot { key: Key { head: 0, tail: 0 }, len: 0, value: entries[0].1, index: 0 }; SLOTS];
        let mut index = 0;
        while index < entries.len() {
            let name = entries[index].0.as_bytes();
            assert!(!name.is_empty() && name.len() < 64, "a name has 1 to 63 bytes");
            assert!(!name[0].is_ascii_uppercase(), "names are listed in lower case");
            let bit = 1 << name.len();
            lengths[name[0] as usize] |= bit;
            lengths[name[0].to_ascii_uppercase() as usize] |= bit;
            let key = const_key(name);
            let mut slot = key.slot(name.len(), SLOTS);
            while slots[slot].len != 0 {
                assert!(
                    !same(entries[slots[slot].index as usize].0.as_bytes(), name),
                    "a name is listed twice"
                );
                slot = (slot + 1) & (SLOTS - 1);
            }
            slots[slot] = Slot { key, len: name.len() as u8, value: entries[index].1, index: index as u16 };
            index += 1;
        }
        Self { lengths, slots, entries }
    }

    /// What the word from `start` to `end` means, in any case; `None` when it is not listed.
    #[inline(always)]
    pub(super) fn get(&self, text: &[u8], start: usize, end: usize) -> Option<V> {
        let first = text.get(start).copied().unwrap_or_default();
        self.get_word(text, first, start, end)
    }

    /// The same, for a caller that has looked at the first byte already.
    #[inline(always)]
    pub(super) fn get_word(&self, text: &[u8], first: u8, start: usize, end: usize) -> Option<V> {
        let len = end - start;
        if len < 64 && self.lengths[usize::from(first)] >> len & 1 != 0 {
            self.find(text, start, end)
        } else {
            None
        }
    }

    #[cfg(test)]
    pub(super) fn listed(&self) -> &'static [(&'static str, V)] {
        self.entries
    }

    #[inline(never)]
    fn find(&self, text: &[u8], start: usize, end: usize) -> Option<V> {
        let len = end - start;
        let key = key(text, start, end);
        let mut place = key.slot(len, SLOTS);
        loop {
            let slot = self.slots.get(place)?;
            if slot.len == 0 {
                return None;
            }
            // Sixteen bytes are all in the key.
            if slot.key == key
                && usize::from(slot.len) == len
                && (len <= 16 || self.is_name(slot.index, text.get(start..end)?))
            {
                return Some(slot.value);
            }
            place = (place + 1) & (SLOTS - 1);
        }
    }

    #[cold]
    fn is_name(&self, index: u16, word: &[u8]) -> bool {
        self.entries
            .get(usize::from(index))
            .is_some_and(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word))
    }
}

const fn const_key(name: &[u8]) -> Key {
    if name.len() >= 8 {
        Key { head: fold(const_load(name, 0, 8)), tail: fold(const_load(name, name.len() - 8, 8)) }
    } else {
        let mask = (1_u64 << (name.len() * 8)) - 1;
        let head = fold(const_load(name, 0, name.len())) & mask;
        Key { head, tail: head }
    }
}

const fn const_load(name: &[u8], at: usize, len: usize) -> u64 {
    let mut word = 0;
    let mut index = len;
    while index > 0 {
        index -= 1;
        word = (word << 8) | name[at + index] as u64;
    }
    word
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::Names;

    static NAMES: Names<u8, 16> = Names::new(&[
        ("a", 1),
        ("into", 2),
        ("aaaaaaaa", 3),
        ("aaaaaaaaa", 4),
        ("sql_calc_found_rows", 5),
        ("sql_calc_round_rows", 6),
    ]);

    fn get(text: &str, start: usize, end: usize) -> Option<u8> {
        NAMES.get(text.as_bytes(), start, end)
    }

    #[test]
    fn finds_each_name_in_any_case_and_nothing_else() {
        for (text, expected) in [
            ("a", Some(1)),
            ("A", Some(1)),
            ("INTO", Some(2)),
            ("into_", None),
            ("aaaaaaaa", Some(3)),
            ("AAAAaaaaA", Some(4)),
            ("aaaaaaaaaa", None),
            ("sql_calc_FOUND_rows", Some(5)),
            ("sql_calc_round_rows", Some(6)),
            ("sql_calc_sound_rows", None),
            ("", None),
        ] {
            assert_eq!(get(text, 0, text.len()), expected, "{text}");
        }
    }

    #[test]
    fn looks_at_the_word_and_not_at_its_neighbours() {
        assert_eq!(get("xintoy and more text", 1, 5), Some(2));
        assert_eq!(get("xaaaaaaaax", 1, 9), Some(3));
        assert_eq!(get("xinto", 1, 5), Some(2));
        assert_eq!(get("xinto", 1, 4), None);
    }

    #[test]
    fn a_word_of_any_length_is_answered() {
        for len in 0..200 {
            let text = "a".repeat(len);
            assert_eq!(get(&text, 0, len).is_some(), matches!(len, 1 | 8 | 9), "{len}");
        }
    }
}
