//! What all judges stand on: where each write is in the end, and what a session owes its reads.

use std::collections::{BTreeMap, HashMap};

use super::{Rule, Violation};
use crate::history::{Action, History, Item, Key, Op, Outcome, SessionId};

#[cfg(test)]
thread_local! {
    /// What was looked at since somebody set it to zero: a judge in linear time looks at each operation so and so often.
    pub(super) static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

pub(super) fn step() {
    #[cfg(test)]
    STEPS.set(STEPS.get() + 1);
}

/// The least that must be seen of each list, and by which operation that is so.
pub(super) type Floor = Vec<(usize, Option<usize>)>;

/// A history, indexed.
#[derive(Debug)]
pub struct Ground<'h> {
    /// The history.
    pub(super) history: &'h History,
    /// Where an item is in the end.
    places: HashMap<Item, (Key, usize)>,
    /// Who appended it.
    writers: HashMap<Item, usize>,
    pub(super) keys: usize,
    /// What each operation saw.
    views: Vec<View>,
}

/// What an operation saw, as far as that is a part of what is there in the end.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Lists and how many of their items.
    pub(super) kept: Vec<(usize, usize)>,
    /// Lists of which it saw something that is gone, or never was, and how many items they share at most with what is there
    /// in the end.
    pub(super) gone: Vec<(usize, usize)>,
}

impl View {
    pub(super) fn version(&self, key: usize) -> Option<usize> {
        self.kept.iter().find_map(|(of, version)| (*of == key).then_some(*version))
    }
}

/// An instant of an operation. Equal instants are no order: what is invoked comes before what returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Edge {
    Invoked,
    Returned,
}

impl<'h> Ground<'h> {
    /// Indexes a history.
    #[must_use]
    pub fn new(history: &'h History) -> Self {
        let finals = &history.facts.finals;
        let keys = finals.keys().next_back().map_or(0, |last| place(*last) + 1);
        let places = finals
            .iter()
            .flat_map(|(key, items)| items.iter().zip(1..).map(|(item, version)| (*item, (*key, version))))
            .collect();
        let writers = history.ops.iter().enumerate().filter_map(|(index, op)| match op.action {
            Action::Append { item, .. } => Some((item, index)),
            _ => None,
        });
        let mut views: Vec<View> = history.ops.iter().map(|op| view(finals, op)).collect();
        // A list is lost from one place on, whoever saw it: what one read proves of that holds for all.
        let mut shared = vec![usize::MAX; keys];
        for (key, least) in views.iter().flat_map(|view| &view.gone) {
            if let Some(shared) = shared.get_mut(*key) {
                *shared = (*shared).min(*least);
            }
        }
        for (key, least) in views.iter_mut().flat_map(|view| &mut view.gone) {
            *least = shared.get(*key).copied().unwrap_or_default();
        }
        Self { history, places, writers: writers.collect(), keys, views }
    }

    pub(super) fn ops(&self) -> impl Iterator<Item = (usize, &'h Op)> {
        self.history.ops.iter().enumerate().inspect(|_| step())
    }

    pub(super) fn view(&self, op: usize) -> &View {
        step();
        &self.views[op]
    }

    /// The place in the end of what this operation appended.
    pub(super) fn placed(&self, op: &Op) -> Option<(usize, usize)> {
        step();
        let Action::Append { item, .. } = op.action else { return None };
        self.places.get(&item).map(|(key, version)| (place(*key), *version))
    }

    /// Who wrote this version of a list, if that is in the history.
    pub(super) fn writer(&self, key: usize, version: usize) -> Option<usize> {
        step();
        let key = Key::try_from(key).ok()?;
        let item = self.history.facts.finals.get(&key)?.get(version.checked_sub(1)?)?;
        self.writers.get(item).copied()
    }

    /// Who appended this item, if that is in the history.
    pub(super) fn appended(&self, item: Item) -> Option<usize> {
        self.writers.get(&item).copied()
    }

    /// Whether somebody has appended this item to this list, or may have.
    pub(super) fn was_appended(&self, key: Key, item: Item) -> bool {
        let writer = self.appended(item).map(|index| &self.history.ops[index].action);
        matches!(writer, Some(Action::Append { key: of, .. }) if *of == key)
    }

    /// How long a list is in the end.
    pub(super) fn length(&self, key: usize) -> usize {
        let list = Key::try_from(key).ok().and_then(|key| self.history.facts.finals.get(&key));
        list.map_or(0, Vec::len)
    }

    /// All instants, in their order.
    pub(super) fn edges(&self) -> Vec<(u64, Edge, usize)> {
        let both = |(index, op): (usize, &Op)| {
            [(op.invoked, Edge::Invoked, index), (op.returned, Edge::Returned, index)]
        };
        let mut edges: Vec<_> = self.ops().flat_map(both).collect();
        edges.sort_unstable();
        edges
    }

    /// What had returned to the session of each operation when that was invoked, of what `counts` says that an operation
    /// has brought; with what tokens have handed over, if they count.
    pub(super) fn floors(
        &self,
        by_tokens: bool,
        counts: impl Fn(usize, &Op) -> Vec<(usize, usize)>,
    ) -> Vec<Floor> {
        let nothing: Floor = vec![(0, None); self.keys];
        let mut floors = vec![Floor::new(); self.history.ops.len()];
        let mut sessions: HashMap<SessionId, Floor> = HashMap::new();
        let mut tokens: HashMap<u64, Floor> = HashMap::new();
        for (_, edge, index) in self.edges() {
            let op = &self.history.ops[index];
            let known = sessions.entry(op.session).or_insert_with(|| nothing.clone());
            match (edge, &op.action) {
                (Edge::Invoked, Action::Export { token }) => drop(tokens.insert(*token, known.clone())),
                (Edge::Invoked, _) => floors[index].clone_from(known),
                (Edge::Returned, Action::Resume { token }) if by_tokens && op.outcome == Outcome::Ok => {
                    let brought = tokens.get(token).cloned().unwrap_or_default();
                    brought.into_iter().enumerate().for_each(|(key, least)| raise(known, key, least));
                }
                (Edge::Returned, _) => {
                    let brought = counts(index, op);
                    brought.into_iter().for_each(|(key, version)| raise(known, key, (version, Some(index))));
                }
            }
        }
        floors
    }

    /// What a read did not see of what it had to: list, needed, seen, and why needed. Of a list of which it saw what is gone it
    /// saw nothing that came after the loss.
    pub(super) fn missing(&self, read: usize, floor: &Floor) -> Option<(usize, usize, usize, Option<usize>)> {
        let view = self.view(read);
        view.kept.iter().chain(&view.gone).find_map(|(key, version)| {
            let (needed, by) = *floor.get(*key)?;
            (*version < needed).then_some((*key, needed, *version, by))
        })
    }

    /// Whether the primary did not show yet what a standby did: the one write that is missing was still under way when the
    /// read was invoked. A commit is shipped before it is shown, and a list is not written to in between. Whoever shows what
    /// is gone is no such primary.
    pub(super) fn is_ahead(&self, read: usize, (key, needed, seen): (usize, usize, usize)) -> bool {
        let op = &self.history.ops[read];
        let under_way = |write: usize| {
            let write = &self.history.ops[write];
            write.outcome != Outcome::Ok || write.returned >= op.invoked
        };
        matches!(op.read(), Some((_, false)))
            && self.view(read).version(key).is_some()
            && needed == seen + 1
            && self.writer(key, needed).is_some_and(under_way)
    }

    pub(super) fn violation(
        &self,
        rule: Rule,
        read: usize,
        (key, needed, seen, by): (usize, usize, usize, Option<usize>),
    ) -> Violation {
        let mut ops = vec![read];
        ops.extend(by);
        ops.extend(self.writer(key, needed));
        ops.dedup();
        let others = match self.view(read).version(key) {
            Some(_) => "",
            None => ", and then others that are gone",
        };
        let what = format!("list {key} had to have {needed} items and had {seen}{others}");
        Violation { rule, ops, what }
    }
}

/// What an operation saw of these lists.
fn view(finals: &BTreeMap<Key, Vec<Item>>, op: &Op) -> View {
    let mut view = View::default();
    for seen in op.seen() {
        let list = finals.get(&seen.key).map(Vec::as_slice).unwrap_or_default();
        let Some(last) = seen.version.checked_sub(1) else {
            view.kept.push((place(seen.key), 0));
            continue;
        };
        match list.get(last) == Some(&seen.item) {
            true => view.kept.push((place(seen.key), seen.version)),
            false => view.gone.push((place(seen.key), last.min(shared(op, seen.key, list)))),
        }
    }
    view
}

/// How many items a list as it was read has in common with this one, as far as the whole of it was read.
fn shared(op: &Op, key: Key, list: &[Item]) -> usize {
    let Action::Lists { lists, .. } = &op.action else { return usize::MAX };
    let read = lists.iter().filter(|(of, _)| *of == key);
    let common =
        |(_, read): &(Key, Vec<Item>)| read.iter().zip(list).take_while(|(one, other)| one == other).count();
    read.map(common).min().unwrap_or(usize::MAX)
}

fn raise(floor: &mut Floor, key: usize, (version, by): (usize, Option<usize>)) {
    if let Some(least) = floor.get_mut(key)
        && least.0 < version
    {
        *least = (version, by);
    }
}

pub(super) fn place(key: Key) -> usize {
    usize::try_from(key).unwrap_or(usize::MAX)
}
