//! What is decided once, when a topology is assembled.

use super::*;
use crate::config::GroupConfig;

fn node(number: u32, role: Role) -> Node {
    let mut node = Node::new(NodeId::new(number), &format!("n{number}"), "h:1", role);
    node.health = HealthState::Healthy;
    node
}

fn replicas(count: u32) -> Vec<Node> {
    (1..=count).map(|number| node(number, Role::Replica)).collect()
}

fn assemble(nodes: Vec<Node>) -> Topology {
    assemble_with(nodes, Rules::default())
}

fn assemble_with(nodes: Vec<Node>, rules: Rules) -> Topology {
    Topology::assemble(Epoch::new(3), nodes, Ok(NodeId::new(0)), rules)
}

fn numbers(topology: &Topology) -> Vec<u32> {
    topology.nodes().iter().map(|node| node.id.number()).collect()
}

#[test]
fn nodes_come_by_region_then_priority_then_age() {
    let mut nodes = replicas(4);
    nodes[0].tier = 2;
    nodes[1].priority = 1;
    nodes.reverse();
    let topology = assemble(nodes);
    assert_eq!(numbers(&topology), [3, 4, 2, 1]);
    let ranks: Vec<(u8, Vec<usize>)> =
        topology.ranks().iter().map(|rank| (rank.tier, rank.members.iter().collect())).collect();
    assert_eq!(ranks, [(0, vec![0, 1]), (0, vec![2]), (2, vec![3])]);
}

#[test]
fn the_primary_is_found_by_its_id_wherever_it_stands() {
    let mut nodes = replicas(2);
    nodes.push(Node { tier: 9, ..node(0, Role::Primary) });
    let topology = assemble(nodes);
    assert_eq!(topology.primary().map(|node| node.id), Ok(NodeId::new(0)));
    assert_eq!((topology.primary_index(), topology.epoch()), (Ok(2), Epoch::new(3)));
    assert_eq!(topology.node(NodeId::new(2)).map(|node| &*node.name), Some("n2"));
    assert!(topology.node(NodeId::new(7)).is_none());
}

#[test]
fn a_primary_that_is_not_among_the_nodes_is_not_found() {
    assert_eq!(assemble(replicas(2)).primary().map(|node| node.id), Err(&NoPrimary::NotFound));
}

/// A change of a healthy replica, and how it then stands.
type Row = (fn(&mut Node), Result<(), Rejection>);

#[test]
fn who_does_not_stand_in_the_rotation_and_why() {
    let change = |change: fn(&mut Node)| {
        let mut node = node(1, Role::Replica);
        change(&mut node);
        assemble(vec![node, self::node(0, Role::Primary)])
    };
    let standing = |topology: &Topology| {
        let index = numbers(topology).iter().position(|number| *number == 1);
        topology.standing(index.unwrap())
    };
    let table: [Row; 8] = [
        (|_| {}, Ok(())),
        (|node| node.health = HealthState::Degraded, Ok(())),
        (|node| node.health = HealthState::Unknown, Err(Rejection::NotSeenYet)),
        (|node| node.health = HealthState::Unhealthy, Err(Rejection::Down)),
        (|node| node.draining = true, Err(Rejection::Draining)),
        (|node| node.ejected = true, Err(Rejection::Ejected)),
        (|node| node.role = Role::Primary, Err(Rejection::NotAReplica)),
        (
            |node| node.quarantine = Some(Quarantine::StalePrimary),
            Err(Rejection::Quarantined(Quarantine::StalePrimary)),
        ),
    ];
    for (number, (apply, expected)) in table.into_iter().enumerate() {
        let topology = change(apply);
        assert_eq!(standing(&topology), expected, "row {number}");
        assert_eq!(topology.general().len(), usize::from(expected.is_ok()), "row {number}");
    }
}

#[test]
fn the_accepted_primary_takes_no_part_in_the_rotation_even_as_a_replica() {
    // It was accepted a moment ago and says now that it is a replica.
    let topology = assemble(vec![node(0, Role::Replica)]);
    assert_eq!(topology.standing(0), Err(Rejection::NotAReplica));
}

#[test]
fn exclusive_members_serve_their_group_only() {
    let groups = [("analytics", true), ("reports", false)];
    let groups = groups.map(|(name, exclusive)| {
        let config = GroupConfig::new(GroupFallback::Any, exclusive);
        Group::new(name, config.fallback, config.exclusive)
    });
    let mut nodes = replicas(4);
    nodes[0].groups = 0b01;
    nodes[1].groups = 0b11;
    nodes[2].groups = 0b10;
    let topology = assemble_with(nodes, Rules::new(groups.into(), Spill::default(), 0));
    let members = |name| {
        let (index, _) = topology.group(name).unwrap();
        topology.members(index).iter().collect::<Vec<_>>()
    };
    assert_eq!(members("analytics"), [0, 1]);
    assert_eq!(members("reports"), [1, 2]);
    assert_eq!(topology.general().iter().collect::<Vec<_>>(), [2, 3]);
    assert!(topology.group("unheard-of").is_none());
}

#[test]
fn panic_is_a_matter_of_the_share_that_is_left() {
    let panics = |total: u32, ejected: usize, threshold: u8| {
        let mut nodes = replicas(total);
        nodes.iter_mut().take(ejected).for_each(|node| node.ejected = true);
        // Who does not answer does not count.
        nodes.push(Node { health: HealthState::Unhealthy, ..node(98, Role::Replica) });
        nodes.push(Node { draining: true, ..node(99, Role::Replica) });
        assemble_with(nodes, Rules::new([].into(), Spill::default(), threshold)).panicking()
    };
    assert!(!panics(4, 2, 50), "half is left");
    assert!(panics(4, 3, 50));
    assert!(panics(1, 1, 1));
    assert!(!panics(1, 1, 0), "never, when so configured");
    assert!(panics(4, 1, 100));
    assert!(!panics(4, 0, 100), "nobody was ejected");
}

#[test]
fn all_are_fresh_until_the_first_in_the_rotation_is_not() {
    let mut nodes = replicas(3);
    assert_eq!(assemble(nodes.clone()).fresh_until(), Moment::MAX, "nobody has a limit");
    for (index, limit) in [(1, 5), (2, 2)] {
        nodes[index].max_lag = Some(Duration::from_secs(limit));
        nodes[index].fresh_as_of = Some(Moment::from_millis(1_000));
    }
    let nanosecond = Duration::from_nanos(1);
    assert_eq!(assemble(nodes.clone()).fresh_until(), Moment::from_millis(3_000) + nanosecond);
    nodes[2].health = HealthState::Unhealthy;
    assert_eq!(assemble(nodes.clone()).fresh_until(), Moment::from_millis(6_000) + nanosecond);
    nodes[1].fresh_as_of = None;
    assert_eq!(assemble(nodes).fresh_until(), Moment::ORIGIN, "it is not known how fresh it is");
}

#[test]
fn more_nodes_than_fit_are_left_out() {
    let count = u32::try_from(MAX_NODES).unwrap();
    let topology = assemble(replicas(count + 5));
    assert_eq!((topology.nodes().len(), topology.general().len()), (MAX_NODES, MAX_NODES));
}

#[test]
fn age_is_unknown_until_something_is_known() {
    let mut node = node(1, Role::Replica);
    let now = Moment::from_millis(500);
    assert_eq!(node.staleness(now), None);
    node.fresh_as_of = Some(Moment::from_millis(200));
    assert_eq!(node.staleness(now), Some(Duration::from_millis(300)));
    node.fresh_as_of = Some(Moment::from_millis(900));
    assert_eq!(node.staleness(now), Some(Duration::ZERO), "a reader's clock may be a little behind");
}

#[test]
fn names_for_people() {
    assert_eq!((NodeId::new(3).to_string(), Epoch::new(2).next().to_string()), ("#3".into(), "3".into()));
    assert_eq!([Role::Primary, Role::Replica].map(|role| role.to_string()), ["primary", "replica"]);
    let split = NoPrimary::SplitBrain { first: "a".into(), second: "b".into() };
    assert_eq!(split.to_string(), "`a` and `b` both take writes (split brain); stop one of them");
}
