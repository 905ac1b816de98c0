//! What is known and what was found, and what is to be done about the difference. Pure: time is an argument.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Refusal;
use crate::config::{MAX_NODES, NodeConfig};
use crate::time::Moment;

/// A node that was found earlier, and joined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) node: &'a NodeConfig,
    pub(crate) primary: bool,
    /// Since when it is not found.
    pub(crate) missing_since: Option<Moment>,
    /// Since when it gets nothing new.
    pub(crate) leaving_since: Option<Moment>,
    /// Statements that it still runs.
    pub(crate) in_flight: u32,
}

/// A node that is not for us to take out: of the configuration, added by hand, or found by somebody else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Other<'a> {
    pub(crate) name: &'a str,
    pub(crate) endpoint: &'a str,
}

/// What was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) nodes: &'a [NodeConfig],
    /// Whether a node that is not among them is gone. An old answer, looked at again, says nothing about that.
    pub(crate) complete: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long a node may be missing.
    pub(crate) grace: Duration,
    /// How long a node that leaves may take to finish its statements.
    pub(crate) drain: Duration,
}

/// Something to do, in the order in which it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Note that it is missing.
    Miss(String),
    /// Forget that it was missing.
    Return(String),
    /// Give it nothing new.
    Drain(String, Leaving),
    /// Take it out.
    Remove(String),
    /// It serves with other labels from now on.
    Change(Box<NodeConfig>),
    /// It joins.
    Add(Box<NodeConfig>),
    /// It does not join.
    Refuse(String, Refusal),
    /// It is the primary and is not found.
    MissPrimary(String),
}

/// Why a node leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    Vanished,
    /// To this endpoint.
    Moved(String),
}

/// What is to be done so that the nodes are those that were found.
///
/// - The primary is never drained and never removed.
/// - A node that is missing leaves only after the grace, and only by an answer that lacks it then. What comes back before
///   that has never been away.
/// - A node that moved leaves at once, but no two at a time; its successor joins when name and server are free.
/// - A server that is known under whatever name is no finding.
pub(crate) fn reconcile(
    known: &[Known<'_>],
    others: &[Other<'_>],
    answer: Answer<'_>,
    limits: Limits,
    now: Moment,
) -> Vec<Step> {
    let (mut steps, mut staying) = (Vec::new(), Vec::new());
    let find = |name: &str| answer.nodes.iter().find(|node| node.name == name);
    let mut moving = known.iter().any(|known| known.leaving_since.is_some());
    for known in known {
        let name = known.node.name.clone();
        if let Some(since) = known.leaving_since.filter(|_| !known.primary) {
            if known.in_flight == 0 || now.since(since) >= limits.drain {
                steps.push(Step::Remove(name));
            } else {
                staying.push(known.node);
            }
            continue;
        }
        staying.push(known.node);
        match find(&name) {
            Some(found) if found.url == known.node.url => {
                steps.extend(known.missing_since.map(|_| Step::Return(name)));
                if found != known.node {
                    steps.push(Step::Change(Box::new(found.clone())));
                }
            }
            _ if known.primary && answer.complete => steps.push(Step::MissPrimary(name)),
            Some(found) if !known.primary && !moving => {
                moving = true;
                steps.push(Step::Drain(name, Leaving::Moved(endpoint(found))));
            }
            None if !known.primary && answer.complete => {
                if known.missing_since.is_none() {
                    steps.push(Step::Miss(name.clone()));
                }
                if known.missing_since.map_or(Duration::ZERO, |since| now.since(since)) >= limits.grace {
                    steps.push(Step::Drain(name, Leaving::Vanished));
                }
            }
            Some(_) | None => {}
        }
    }
    let is_known = |server: &str| {
        others.iter().any(|other| other.endpoint == server) || staying.iter().any(|n| endpoint(n) == server)
    };
    let (mut names, mut servers) = (BTreeSet::new(), BTreeSet::new());
    let mut room = MAX_NODES.saturating_sub(others.len() + staying.len());
    for found in answer.nodes {
        let (name, server) = (found.name.as_str(), endpoint(found));
        let refuse = |why| Step::Refuse(name.to_owned(), why);
        if !names.insert(name) {
            steps.push(refuse(Refusal::Twice));
        } else if is_known(&server) || staying.iter().any(|node| node.name == name) || !servers.insert(server)
        {
            // It serves already, or its place is not free yet.
        } else if others.iter().any(|other| other.name == name) {
            steps.push(refuse(Refusal::NameTaken));
        } else if room == 0 {
            steps.push(refuse(Refusal::TooMany));
        } else {
            room -= 1;
            steps.push(Step::Add(Box::new(found.clone())));
        }
    }
    steps
}

/// As a topology has it.
pub(crate) fn endpoint(node: &NodeConfig) -> String {
    node.url.endpoint().map_or_else(|| "?".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests;
