//! Rules for what people are told: every change once, each where the last one ended, and nothing else than what is
//! published.

use std::collections::BTreeMap;
use std::sync::Arc;

use rr_core::lag::LagLevel;
use rr_core::time::Moment;
use rr_core::topology::{HealthState, Quarantine, Topology};
use rr_core::world::Notice;

use super::Oracle;

/// What people know from what they were told.
#[derive(Debug, Default)]
pub(super) struct Told {
    nodes: BTreeMap<Arc<str>, NodeTold>,
    panicking: bool,
}

#[derive(Debug, Default)]
struct NodeTold {
    health: HealthState,
    lag: LagLevel,
    ejected: bool,
    draining: bool,
    quarantine: Option<Quarantine>,
}

impl Told {
    /// What does not follow from what was told before.
    fn take(&mut self, notice: &Notice) -> Result<(), String> {
        if let Notice::Panic(on) = notice {
            return changed(&mut self.panicking, *on);
        }
        if let Notice::Joined { node } = notice {
            return match self.nodes.insert(Arc::clone(node), NodeTold::default()) {
                None => Ok(()),
                Some(_) => Err("it is there already".to_owned()),
            };
        }
        if let Notice::Left { node } = notice {
            return self.nodes.remove(node).map(drop).ok_or_else(|| "it is not there".to_owned());
        }
        match notice {
            Notice::Health { node, from, to } => follows(&mut self.of(node)?.health, *from, *to),
            Notice::Lag { node, from, to, .. } => follows(&mut self.of(node)?.lag, *from, *to),
            Notice::Ejected { node, .. } => changed(&mut self.of(node)?.ejected, true),
            Notice::Readmitted { node } => changed(&mut self.of(node)?.ejected, false),
            Notice::Draining { node } => changed(&mut self.of(node)?.draining, true),
            Notice::Quarantined { node, why } => changed(&mut self.of(node)?.quarantine, Some(*why)),
            Notice::Released { node } => changed(&mut self.of(node)?.quarantine, None),
            _ => Ok(()),
        }
    }

    fn of(&mut self, node: &Arc<str>) -> Result<&mut NodeTold, String> {
        self.nodes.get_mut(node).ok_or_else(|| "it is not there".to_owned())
    }

    /// Where what is published differs from what was told.
    fn differs(&self, topology: &Topology) -> Option<String> {
        let wrong = topology.nodes().iter().find(|node| {
            self.nodes.get(&node.name).is_none_or(|told| {
                (told.health, told.ejected, told.draining, told.quarantine)
                    != (node.health, node.ejected, node.draining, node.quarantine)
            })
        });
        match wrong {
            Some(node) => Some(format!("{} is {node:?}, told was {:?}", node.id, self.nodes.get(&node.name))),
            None if self.panicking != topology.panicking() => Some("panic without a word".to_owned()),
            None => None,
        }
    }
}

fn follows<T: Copy + PartialEq + std::fmt::Debug>(state: &mut T, from: T, to: T) -> Result<(), String> {
    if *state != from {
        return Err(format!("it was {state:?} before"));
    }
    changed(state, to)
}

fn changed<T: Copy + PartialEq + std::fmt::Debug>(state: &mut T, to: T) -> Result<(), String> {
    if *state == to {
        return Err(format!("it was {to:?} before"));
    }
    *state = to;
    Ok(())
}

impl Oracle {
    pub(in crate::simulation) fn noticed(&mut self, now: Moment, notice: &Notice) {
        if let Err(why) = self.told.take(notice) {
            self.object(now, format!("people are told \"{notice}\", and {why}"));
        }
    }

    pub(in crate::simulation) fn compare_with_notices(&mut self, now: Moment, topology: &Topology) {
        if let Some(what) = self.told.differs(topology) {
            self.object(now, format!("published and told differ: {what}"));
        }
    }
}
