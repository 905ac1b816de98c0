//! What of the configuration becomes a fact about nodes: distance and groups.

use std::sync::Arc;

use crate::config::{Config, GroupConfig};
use crate::topology::{Group, Rules};

pub(super) fn rules(config: &Config) -> Rules {
    let group = |name: &str| {
        let rules = config.groups.get(name).cloned().unwrap_or_else(GroupConfig::default);
        Group::new(name, rules.fallback, rules.exclusive)
    };
    let groups: Arc<[Group]> = group_names(config).into_iter().map(group).collect();
    Rules::new(groups, config.spill, config.health.panic_threshold.get())
}

/// The place of a group among all that the configuration mentions.
pub(super) fn group_index(config: &Config, name: &str) -> Option<usize> {
    group_names(config).iter().position(|known| *known == name)
}

/// The groups with rules of their own, then those that only nodes mention; a bit is all that each one has.
fn group_names(config: &Config) -> Vec<&str> {
    let mut names: Vec<&str> = config.groups.keys().map(String::as_str).collect();
    for name in config.nodes().flat_map(|node| &node.groups) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names.truncate(64);
    names
}

/// How far a region is from the application: its own is 0, then come the listed ones in their order, then the rest. A
/// node without a region is taken to be near.
pub(super) fn tier_of(config: &Config, region: Option<&str>) -> u8 {
    let Some(region) = region else { return 0 };
    let near =
        config.region.iter().chain(config.regions.iter().filter(|r| Some(*r) != config.region.as_ref()));
    let order: Vec<&str> = near.map(String::as_str).collect();
    let tier = order.iter().position(|known| *known == region).unwrap_or(order.len());
    u8::try_from(tier).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_ordered_from_near_to_far() {
        let regions = vec!["b".into(), "a".into(), "c".into()];
        let config = Config { region: Some("a".into()), regions, ..Config::default() };
        let tiers = ["a", "b", "c", "elsewhere"].map(|region| tier_of(&config, Some(region)));
        assert_eq!((tiers, tier_of(&config, None)), ([0, 1, 2, 3], 0));
    }

    #[test]
    fn without_regions_everything_is_near() {
        assert_eq!(tier_of(&Config::default(), Some("a")), 0);
    }
}
