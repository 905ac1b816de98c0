//! The rules of selection told a second time, plainly and slowly.

use rr_core::config::{GroupFallback, ReadPreference, Spill};
use rr_core::position::Position;
use rr_core::requirement::Seen;
use rr_core::select::{Ask, Rejection, Selected};
use rr_core::topology::{HealthState, Node, NodeSet, Role, Topology};

/// Whether selection did what its rules say.
pub(in crate::simulation) fn check(
    ask: &Ask<'_>,
    topology: &Topology,
    spill: Spill,
    selected: Selected,
) -> Result<(), String> {
    let expected = expected(ask, topology, spill);
    if selected == expected {
        return Ok(());
    }
    Err(format!("selected {selected:?}, and by the rules it is {expected:?}: {ask:?} of {topology:?}"))
}

/// Whether everybody else was refused for one reason, and nobody without one.
pub(in crate::simulation) fn check_reasons(
    ask: &Ask<'_>,
    topology: &Topology,
    selected: Selected,
) -> Result<(), String> {
    let rejections = ask.rejections(topology);
    for (index, node) in topology.nodes().iter().enumerate() {
        let chosen = match selected {
            Selected::Among(set) => set.contains(index),
            Selected::Primary(primary) | Selected::Fallback(primary) => primary == index,
            _ => false,
        };
        let reasons: Vec<Rejection> =
            rejections.iter().filter(|(id, _)| *id == node.id).map(|(_, why)| *why).collect();
        let spare = matches!(reasons.as_slice(), [Rejection::Spare | Rejection::OtherRegion]);
        let fits = replica_fits(ask, topology, node) && ask.preference != ReadPreference::Primary;
        if reasons.len() != usize::from(!chosen) || (fits && !chosen && !spare) {
            return Err(format!(
                "{} chosen={chosen} refused for {reasons:?}: {ask:?} of {topology:?}",
                node.id
            ));
        }
    }
    Ok(())
}

/// Whether the balancer stayed within the candidates.
pub(in crate::simulation) fn member(set: NodeSet, index: usize) -> Result<(), String> {
    if set.contains(index) {
        Ok(())
    } else {
        Err(format!("node {index} was picked, which is not in {set:?}"))
    }
}

fn expected(ask: &Ask<'_>, topology: &Topology, spill: Spill) -> Selected {
    use ReadPreference as P;
    let primary = primary(ask, topology);
    let live = primary.filter(|&primary| topology.nodes()[primary].health != HealthState::Unhealthy);
    let replicas = first_choice(topology, spill, willing(ask, topology));
    let among = |set: NodeSet| if set.is_empty() { Selected::Nowhere } else { Selected::Among(set) };
    let at_primary = primary.map_or(Selected::Nowhere, Selected::Primary);
    if ask.requirement.primary {
        return at_primary;
    }
    match ask.preference {
        P::Primary => at_primary,
        P::PrimaryPreferred if live.is_some() || replicas.is_empty() => at_primary,
        P::PrimaryPreferred | P::Replica => among(replicas),
        P::Nearest => {
            let all = willing(ask, topology).into_iter().chain(live).collect();
            match (among(first_choice(topology, spill, all)), primary) {
                (Selected::Nowhere, Some(primary)) => Selected::Fallback(primary),
                (selected, _) => selected,
            }
        }
        _ if replicas.is_empty() => primary.map_or(Selected::Nowhere, Selected::Fallback),
        _ => Selected::Among(replicas),
    }
}

fn primary(ask: &Ask<'_>, topology: &Topology) -> Option<usize> {
    let primary = topology.primary().ok()?;
    let only_members = ask
        .group
        .and_then(|name| topology.groups().iter().find(|group| &*group.name == name))
        .is_some_and(|group| group.fallback == GroupFallback::Error);
    let refused = ask.tried.contains(&primary.id) || (only_members && !ask.requirement.primary);
    topology.nodes().iter().position(|node| node.id == primary.id).filter(|_| !refused)
}

/// The replicas that may serve, near or far.
fn willing(ask: &Ask<'_>, topology: &Topology) -> Vec<usize> {
    let nodes = topology.nodes();
    let able: Vec<usize> = (0..nodes.len()).filter(|&index| is_able(ask, topology, &nodes[index])).collect();
    let exclusive = |bit: usize| topology.groups()[bit].exclusive;
    let in_group = |index: usize, bit: usize| nodes[index].groups & (1 << bit) != 0;
    let general =
        |index: &&usize| (0..topology.groups().len()).all(|bit| !(exclusive(bit) && in_group(**index, bit)));
    let everybody = || able.iter().filter(general).copied().collect();
    let group = ask.group.and_then(|name| topology.groups().iter().position(|group| &*group.name == name));
    let Some(bit) = group else { return everybody() };
    let members: Vec<usize> = able.iter().copied().filter(|&index| in_group(index, bit)).collect();
    if members.is_empty() && topology.groups()[bit].fallback == GroupFallback::Any {
        everybody()
    } else {
        members
    }
}

fn replica_fits(ask: &Ask<'_>, topology: &Topology, node: &Node) -> bool {
    let index = topology.nodes().iter().position(|other| other.id == node.id);
    index.is_some_and(|index| willing(ask, topology).contains(&index))
}

fn is_able(ask: &Ask<'_>, topology: &Topology, node: &Node) -> bool {
    let primary = topology.primary().ok();
    let requirement = ask.requirement;
    let is_replica = node.role == Role::Replica && primary.is_none_or(|primary| primary.id != node.id);
    let is_well = matches!(node.health, HealthState::Healthy | HealthState::Degraded)
        && (!node.ejected || topology.panicking());
    let covers = requirement
        .covers
        .as_ref()
        .is_none_or(|needed| node.applied.as_ref().is_some_and(|applied| applied.covers(needed)));
    let placed = requirement.after.is_none_or(|after| {
        primary.is_some_and(|primary| {
            let sampled = primary.sampled_at.is_some_and(|at| at >= after);
            let sample = primary.applied.as_ref();
            sampled
                && sample.zip(node.applied.as_ref()).is_some_and(|(sample, applied)| applied.covers(sample))
        })
    });
    let young = requirement
        .max_lag
        .or(node.max_lag)
        .is_none_or(|limit| node.fresh_as_of.is_some_and(|fresh| ask.now.since(fresh) <= limit));
    is_replica
        && is_well
        && covers
        && placed
        && requirement.seen.is_none_or(|seen| has_seen(topology, node, seen))
        && young
        && !requirement.primary
        && !node.draining
        && node.quarantine.is_none()
        && !ask.tried.contains(&node.id)
}

/// Whether what was read last is certainly there: the node served it itself and has been up since, or it has all that
/// the server had at some time after the read. Of a server that may have begun anew, the primary is asked instead.
fn has_seen(topology: &Topology, node: &Node, seen: Seen) -> bool {
    let steady = |server: &&Node| server.steady_since <= seen.at;
    let later = |of: &&Node| of.sampled_at.is_some_and(|at| at >= seen.at);
    let has = |position: Option<&Position>| {
        position.is_some_and(|position| node.applied.as_ref().is_some_and(|own| own.covers(position)))
    };
    match seen.node.and_then(|id| topology.node(id)).filter(steady) {
        Some(server) => server.id == node.id || (later(&server) && has(server.ceiling.as_ref())),
        None => topology.primary().ok().filter(later).is_some_and(|primary| has(primary.applied.as_ref())),
    }
}

/// Region by region, of each the first priority, until the rule has enough.
fn first_choice(topology: &Topology, spill: Spill, willing: Vec<usize>) -> NodeSet {
    let nodes = topology.nodes();
    let mut tiers: Vec<u8> = willing.iter().map(|&index| nodes[index].tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    let mut chosen: Vec<usize> = Vec::new();
    for tier in tiers {
        let here = || willing.iter().copied().filter(|&index| nodes[index].tier == tier);
        let first = here().map(|index| nodes[index].priority).min();
        let enough = match spill {
            Spill::Never => tier > 0 || !chosen.is_empty(),
            Spill::Below(wanted) => chosen.len() >= usize::try_from(wanted.max(1)).unwrap_or(usize::MAX),
            _ => !chosen.is_empty(),
        };
        if enough {
            break;
        }
        chosen.extend(here().filter(|&index| Some(nodes[index].priority) == first));
    }
    chosen.into_iter().collect()
}
