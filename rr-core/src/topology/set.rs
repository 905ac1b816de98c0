//! A set of nodes as one machine word.

use super::MAX_NODES;

/// A set of node indices (below [`MAX_NODES`]) within one topology.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeSet(u64);

impl NodeSet {
    /// No node.
    pub const EMPTY: Self = Self(0);

    /// Adds a node; an index that no topology can hold is ignored.
    pub const fn insert(&mut self, index: usize) {
        if index < MAX_NODES {
            self.0 |= 1 << index;
        }
    }

    /// Takes a node out.
    pub const fn remove(&mut self, index: usize) {
        if index < MAX_NODES {
            self.0 &= !(1 << index);
        }
    }

    /// Whether the node is in.
    #[must_use]
    pub const fn contains(self, index: usize) -> bool {
        index < MAX_NODES && self.0 & (1 << index) != 0
    }

    /// The nodes that are in both.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The nodes that are in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// How many nodes are in.
    #[inline]
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether no node is in.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The `n`th member in ascending order.
    #[inline]
    #[must_use]
    pub fn nth(self, n: usize) -> Option<usize> {
        let first = self.0.trailing_zeros();
        let run = self.0.checked_shr(first).unwrap_or(0);
        // Nearly always the members are neighbours, and there is nothing to search.
        if run & run.wrapping_add(1) == 0 {
            let len = (u64::BITS - run.leading_zeros()) as usize;
            return (n < len).then_some(first as usize + n);
        }
        self.iter().nth(n)
    }

    /// The members for whose item (at the same index) `test` holds; testing all items is cheaper than walking the set.
    #[inline]
    pub(crate) fn retain<T>(self, items: &[T], test: impl Fn(&T) -> bool) -> Self {
        let tested = items.iter().take(MAX_NODES).enumerate();
        let bits = tested.fold(0, |bits, (index, item)| bits | u64::from(test(item)) << index);
        Self(self.0 & bits)
    }

    /// The members that are not in `other`.
    #[inline]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The members in ascending order.
    #[inline]
    #[must_use]
    pub const fn iter(self) -> Members {
        Members(self.0)
    }
}

impl FromIterator<usize> for NodeSet {
    fn from_iter<I: IntoIterator<Item = usize>>(indices: I) -> Self {
        let mut set = Self::EMPTY;
        indices.into_iter().for_each(|index| set.insert(index));
        set
    }
}

impl IntoIterator for NodeSet {
    type Item = usize;
    type IntoIter = Members;
    fn into_iter(self) -> Members {
        self.iter()
    }
}

/// Walks a [`NodeSet`] in ascending order.
#[derive(Clone, Debug)]
pub struct Members(u64);

impl Iterator for Members {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let index = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(index)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.count_ones() as usize;
        (left, Some(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_ascending_order() {
        let set: NodeSet = [63, 0, 5, 64].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 5, 63]);
        assert_eq!((set.len(), set.nth(1), set.nth(3)), (3, Some(5), None));
        assert!(set.contains(63) && !set.contains(64));
    }

    #[test]
    fn the_nth_is_the_same_with_and_without_gaps() {
        for bits in [0, 1, 0b1110, 0b1011, u64::MAX, u64::MAX << 7, 1 << 63, 0b101 << 60] {
            let set = NodeSet(bits);
            for n in 0..=MAX_NODES {
                assert_eq!(set.nth(n), set.iter().nth(n), "{bits:b} {n}");
            }
        }
    }

    #[test]
    fn removing_and_intersecting() {
        let mut set: NodeSet = [1, 2, 3].into_iter().collect();
        set.remove(2);
        set.remove(99);
        assert_eq!(set.and([3, 4].into_iter().collect()).iter().collect::<Vec<_>>(), [3]);
        assert!(NodeSet::EMPTY.is_empty() && !set.is_empty());
        assert_eq!(set.or([2].into_iter().collect()).len(), 3);
    }
}
