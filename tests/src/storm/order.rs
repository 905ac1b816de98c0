//! In what order those are served who wait for the connections of a node.

use std::collections::HashMap;

/// Whose connections a statement waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The primary's.
    Primary,
    /// Those of the standby with this port.
    Standby(i32),
}

/// A statement that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Whose.
    pub task: usize,
    /// Where.
    pub line: Line,
    /// The number of the moment in which it was asked for …
    pub came: u64,
    /// … and of the one in which it was answered.
    pub left: u64,
}

/// How often those who waited were overtaken: by statements of the same line that were asked for later and answered sooner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overtaken {
    /// The most for one statement, by whomever.
    pub most: usize,
    /// The most for one statement, by one and the same task.
    pub by_one: usize,
}

/// How often they were at most, by statements that were asked for when so many had been answered: before, connections are
/// being opened.
#[must_use]
pub fn overtaken(served: &[Served], before: usize) -> Overtaken {
    let mut left: Vec<u64> = served.iter().map(|statement| statement.left).collect();
    left.sort_unstable();
    let opened = before.checked_sub(1).and_then(|last| left.get(last).copied());
    let mut in_order = served.to_vec();
    in_order.sort_unstable_by_key(|statement| statement.came);
    let mut found = Overtaken::default();
    for (place, waiting) in in_order.iter().enumerate() {
        let mut by_task = HashMap::<usize, usize>::new();
        let later = in_order[place + 1..].iter().take_while(|other| other.came < waiting.left);
        let faster = later.filter(|other| other.line == waiting.line && other.left < waiting.left);
        for other in faster.filter(|other| opened.is_none_or(|at| other.came > at)) {
            *by_task.entry(other.task).or_default() += 1;
        }
        found.most = found.most.max(by_task.values().sum());
        found.by_one = found.by_one.max(by_task.into_values().max().unwrap_or(0));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(of: &[(usize, Line, u64, u64)]) -> Vec<Served> {
        of.iter().map(|&(task, line, came, left)| Served { task, line, came, left }).collect()
    }

    #[test]
    fn who_is_served_in_order_is_not_overtaken() {
        let line = Line::Primary;
        let history = all(&[(1, line, 1, 4), (0, line, 0, 3), (2, line, 2, 6), (0, line, 5, 7)]);
        assert_eq!(overtaken(&history, 0), Overtaken::default());
    }

    /// The task that has just given a connection back takes it again.
    #[test]
    fn who_goes_on_at_once_overtakes_who_waits() {
        let line = Line::Standby(5432);
        let history = all(&[
            (0, line, 0, 20),
            (1, line, 1, 2),
            (1, line, 3, 4),
            (2, line, 5, 6),
            (2, Line::Standby(5433), 7, 8),
            (2, Line::Primary, 9, 10),
            (1, line, 19, 21),
        ]);
        assert_eq!(overtaken(&history, 0), Overtaken { most: 3, by_one: 2 });
        assert_eq!(overtaken(&history, 1), Overtaken { most: 2, by_one: 1 });
    }
}
