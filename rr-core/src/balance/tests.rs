//! What every strategy owes: a valid choice, and the distribution that its name promises.

use super::*;
use crate::time::Moment;
use crate::topology::{Epoch, HealthState, NoPrimary, NodeId, Role, Rules};
use std::time::Duration;

const ROUNDS: u32 = 60_000;

struct Fixture {
    topology: Topology,
    loads: Vec<Arc<Load>>,
    set: NodeSet,
}

impl Fixture {
    /// Replicas of these weights.
    fn new(weights: &[u32]) -> Self {
        Self::with(weights.len(), |n, node| node.weight = weights[n])
    }

    fn with(len: usize, mut shape: impl FnMut(usize, &mut Node)) -> Self {
        let nodes = (0..len).map(|n| {
            let id = NodeId::new(u32::try_from(n).unwrap());
            let mut node = Node::new(id, &format!("r{n}"), "h:1", Role::Replica);
            node.health = HealthState::Healthy;
            shape(n, &mut node);
            node
        });
        let nodes = nodes.collect();
        let topology =
            Topology::assemble(Epoch::default(), nodes, Err(NoPrimary::NotFound), Rules::default());
        let loads = (0..len).map(|_| Arc::new(Load::new())).collect();
        Self { topology, loads, set: (0..len).collect() }
    }

    fn candidates(&self) -> Candidates<'_> {
        Candidates::new(&self.topology, &self.loads, self.set)
    }

    /// The share of each node in percent over many choices.
    fn shares(&self, balancer: &dyn Balancer) -> Vec<u32> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut hits = vec![0u32; self.loads.len()];
        for _ in 0..ROUNDS {
            let n = balancer.choose(&self.candidates(), random.u64(..));
            hits[self.candidates().index(n)] += 1;
        }
        hits.iter().map(|&h| (h * 100 + ROUNDS / 2) / ROUNDS).collect()
    }
}

fn all() -> Vec<Arc<dyn Balancer>> {
    use Strategy as S;
    [S::Weighted, S::RoundRobin, S::Random, S::LeastLag, S::LeastConnections, S::P2c].map(balancer).into()
}

#[test]
fn equal_nodes_share_equally_under_every_strategy() {
    for strategy in all() {
        for share in Fixture::new(&[100; 4]).shares(&*strategy) {
            assert!((24..=26).contains(&share), "{strategy:?}: {share} %");
        }
    }
}

#[test]
fn a_choice_is_always_a_candidate() {
    for strategy in all() {
        for len in 2..=MAX {
            let mut fixture = Fixture::new(&vec![1; len]);
            fixture.set.remove(0);
            fixture.set.insert(len - 1);
            if fixture.set.len() < 2 {
                continue;
            }
            for random in [0, 1, u64::MAX, 1 << 63, u64::MAX << 32, u64::MAX >> 32] {
                assert!(strategy.choose(&fixture.candidates(), random) < fixture.set.len(), "{strategy:?}");
            }
        }
    }
}
const MAX: usize = crate::topology::MAX_NODES;

#[test]
fn weights_are_obeyed() {
    let fixture = Fixture::new(&[100, 300]);
    for strategy in [Strategy::Weighted, Strategy::RoundRobin] {
        let shares = fixture.shares(&*balancer(strategy));
        assert!((24..=26).contains(&shares[0]), "{strategy:?}: {shares:?}");
    }
}

#[test]
fn a_weighted_turn_is_spread_over_the_round() {
    let fixture = Fixture::new(&[100, 300]);
    let robin = RoundRobin::default();
    let turns: Vec<usize> = (0..400).map(|_| robin.choose(&fixture.candidates(), 0)).collect();
    let longest = turns.chunk_by(|a, b| a == b).map(<[usize]>::len).max();
    assert!(longest <= Some(4), "the heavy node got {longest:?} turns in a row");
}

#[test]
fn weighted_prefers_the_fast_the_fresh_and_the_healthy() {
    let fixture = Fixture::with(4, |n, node| match n {
        1 => node.lag_bytes = Some(3 << 20),
        2 => node.health = HealthState::Degraded,
        _ => {}
    });
    let latency = |n: usize, micros| fixture.loads[n].observe(Duration::from_micros(micros));
    (0..3).for_each(|n| latency(n, 100));
    latency(3, 400);
    // 1 : 1/4 : 1/2 : 1/4
    assert_eq!(fixture.shares(&Weighted), [50, 13, 25, 12]);
}

#[test]
fn least_connections_counts_per_weight() {
    let fixture = Fixture::new(&[100, 400]);
    (0..2).for_each(|_| fixture.loads[1].enter());
    assert_eq!(fixture.shares(&LeastConnections), [0, 100]);
    (0..2).for_each(|_| fixture.loads[1].enter());
    assert_eq!(fixture.shares(&LeastConnections), [100, 0]);
}

#[test]
fn least_lag_takes_the_freshest_and_the_unknown_last() {
    let fixture = Fixture::with(3, |n, node| node.lag_bytes = [None, Some(10), Some(5)][n]);
    assert_eq!(fixture.shares(&LeastLag), [0, 0, 100]);
    let fixture =
        Fixture::with(3, |n, node| node.fresh_as_of = [None, Some(3), Some(9)][n].map(Moment::from_millis));
    assert_eq!(fixture.shares(&LeastLag), [0, 0, 100]);
}

#[test]
fn p2c_leaves_a_slow_node_to_those_who_meet_nothing_better() {
    let fixture = Fixture::new(&[100; 4]);
    (0..4).for_each(|n| fixture.loads[n].observe(Duration::from_micros(if n == 0 { 900 } else { 100 })));
    let shares = fixture.shares(&PowerOfTwo);
    assert_eq!(shares[0], 0, "a node that is slower than any other is never the better of two: {shares:?}");
    // Eight statements in flight on each of the fast ones, and it is worth a try.
    (1..4).for_each(|n| (0..9).for_each(|_| fixture.loads[n].enter()));
    assert!(fixture.shares(&PowerOfTwo)[0] > 25);
}

#[test]
fn p2c_lets_nearly_equal_nodes_share() {
    let fixture = Fixture::new(&[100; 2]);
    (0..2).for_each(|n| fixture.loads[n].observe(Duration::from_millis(if n == 0 { 11 } else { 10 })));
    let shares = fixture.shares(&PowerOfTwo);
    assert!((36..=48).contains(&shares[0]), "{shares:?}");
}

#[test]
fn p2c_tries_a_node_of_unknown_latency() {
    let fixture = Fixture::new(&[100; 2]);
    fixture.loads[0].observe(Duration::from_micros(50));
    assert!(fixture.shares(&PowerOfTwo)[1] > 50);
    fixture.loads[0].observe(Duration::from_millis(5));
    assert_eq!(fixture.shares(&PowerOfTwo), [0, 100]);
}
