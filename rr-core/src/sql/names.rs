//! A set of names that is looked up once per word of SQL, so it has to say "no" in about a nanosecond.
//!
//! Two steps. A bit per (first letter, length) refuses nearly every ordinary word without reading it. What
//! passes is hashed by its first and last eight bytes, folded to lower case, into a table that the compiler
//! has built.

/// Where a word lies in the text, and enough of it to compare without going back.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    text: &'a [u8],
    start: usize,
    end: usize,
}

impl<'a> Word<'a> {
    #[inline]
    pub(super) const fn new(text: &'a [u8], start: usize, end: usize) -> Self {
        Self { text, start, end }
    }

    /// The word as written.
    #[inline]
    pub(super) fn bytes(self) -> &'a [u8] {
        self.text.get(self.start..self.end).unwrap_or_default()
    }

    #[inline]
    const fn len(self) -> usize {
        self.end - self.start
    }

    #[inline]
    fn first(self) -> u8 {
        self.text.get(self.start).copied().unwrap_or_default()
    }

    /// First and last eight bytes, in lower case; a shorter word is padded with zeros and both are the same.
    #[inline]
    fn key(self) -> Key {
        if self.len() >= 8 {
            Key { head: fold(load(self.text, self.start)), tail: fold(load(self.text, self.end - 8)) }
        } else {
            let mask = (1_u64 << (self.len() * 8)) - 1;
            let head = fold(load(self.text, self.start)) & mask;
            Key { head, tail: head }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    head: u64,
    tail: u64,
}

impl Key {
    const NONE: Self = Self { head: 0, tail: 0 };

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

/// Eight bytes from `at`; zeros beyond the end.
#[inline]
fn load(text: &[u8], at: usize) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    match rest.first_chunk::<8>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => load_short(rest),
    }
}

fn load_short(rest: &[u8]) -> u64 {
    rest.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

/// Names in lower case, each with what it means. `SLOTS` is a power of two, at least twice the number of names.
pub(super) struct Names<V: Copy + 'static, const SLOTS: usize> {
    /// Bit `n` of entry `c`: some name begins with the byte `c` (either case) and is `n` bytes long.
    lengths: [u64; 256],
    /// Index into `entries`, plus one; zero is an empty slot.
    slots: [u16; SLOTS],
    keys: [Key; SLOTS],
    entries: &'static [(&'static str, V)],
}

impl<V: Copy + 'static, const SLOTS: usize> Names<V, SLOTS> {
    /// Builds the table; meant for a `static`, so that a bad list fails to compile.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the asserts bound every index; const code has no TryFrom"
    )]
    pub(super) const fn new(entries: &'static [(&'static str, V)]) -> Self {
        assert!(SLOTS.is_power_of_two() && entries.len() * 2 <= SLOTS && SLOTS <= 1 << 15);
        let mut lengths = [0_u64; 256];
        let mut slots = [0_u16; SLOTS];
        let mut keys = [Key::NONE; SLOTS];
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
            while slots[slot] != 0 {
                assert!(
                    !same(entries[slots[slot] as usize - 1].0.as_bytes(), name),
                    "a name is listed twice"
                );
                slot = (slot + 1) & (SLOTS - 1);
            }
            slots[slot] = index as u16 + 1;
            keys[slot] = key;
            index += 1;
        }
        Self { lengths, slots, keys, entries }
    }

    /// What `word` means, in any case; `None` when it is not listed.
    #[inline]
    pub(super) fn get(&self, word: Word<'_>) -> Option<V> {
        let lengths = self.lengths[usize::from(word.first())];
        if word.len() < 64 && lengths >> word.len() & 1 != 0 { self.find(word) } else { None }
    }

    #[cfg(test)]
    pub(super) fn listed(&self) -> &'static [(&'static str, V)] {
        self.entries
    }

    #[inline]
    fn find(&self, word: Word<'_>) -> Option<V> {
        let key = word.key();
        let mut slot = key.slot(word.len(), SLOTS);
        loop {
            let index = usize::from(*self.slots.get(slot)?);
            let (name, value) = self.entries.get(index.checked_sub(1)?)?;
            // Sixteen bytes are all in the key.
            if self.keys.get(slot) == Some(&key)
                && name.len() == word.len()
                && (name.len() <= 16 || name.as_bytes().eq_ignore_ascii_case(word.bytes()))
            {
                return Some(*value);
            }
            slot = (slot + 1) & (SLOTS - 1);
        }
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
    use super::{Names, Word};

    static NAMES: Names<u8, 16> = Names::new(&[
        ("a", 1),
        ("into", 2),
        ("aaaaaaaa", 3),
        ("aaaaaaaaa", 4),
        ("sql_calc_found_rows", 5),
        ("sql_calc_round_rows", 6),
    ]);

    fn get(text: &str, start: usize, end: usize) -> Option<u8> {
        NAMES.get(Word::new(text.as_bytes(), start, end))
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
