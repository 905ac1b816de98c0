//! The circumstances of a run, drawn from its seed: the cluster, the configuration under test, the weather.

use std::time::Duration;

use fastrand::Rng;
use rr_core::config::{
    Config, FailoverMode, GroupConfig, GroupFallback, NodeConfig, Percent, Spill, Strategy,
};

/// Milliseconds as a duration.
pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A duration between two numbers of milliseconds, to the microsecond.
pub(super) fn between(rng: &mut Rng, from: u64, to: u64) -> Duration {
    Duration::from_micros(rng.u64(from * 1_000..=to * 1_000))
}

/// True once in `n` times.
pub(super) fn one_in(rng: &mut Rng, n: u32) -> bool {
    rng.u32(0..n) == 0
}

/// One of these.
pub(super) fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())]
}

/// What a seed stands for.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) strategy: Strategy,
    pub(super) standbys: usize,
    /// The timeline that the cluster begins on.
    pub(super) timeline: u32,
    /// The monitor's role may see which timeline a WAL receiver is on.
    pub(super) privileged: bool,
    /// History files are shared, so that no two promotions take the same timeline number.
    pub(super) archive: bool,
    /// A server of another cluster may turn up at an address.
    pub(super) foreigners: bool,
    pub(super) receiver_timeout: Duration,
    /// How long the run lasts before everything is mended.
    pub(super) length: Duration,
    /// Mean time between two faults.
    pub(super) calm: u64,
    pub(super) sessions: usize,
    /// One in so many probes is lost, or slow.
    pub(super) lossy: u32,
    pub(super) slow: u32,
    /// Servers can be fenced.
    pub(super) fence: bool,
    /// Standbys fall behind one another, under a policy that loses nothing that `remote_apply` has acknowledged.
    pub(super) stragglers: bool,
    /// The machine is suspended once.
    pub(super) suspended: bool,
}

impl Plan {
    pub(super) fn draw(rng: &mut Rng, dice: &mut Rng, lots: &mut Rng) -> Self {
        let standbys = pick(rng, &[1, 2, 2, 3, 3, 4]);
        let standbys = if standbys == 4 && dice.bool() { 5 } else { standbys };
        let mut plan = Self {
            config: config(rng, standbys),
            strategy: strategy(rng),
            standbys,
            timeline: pick(rng, &[1, 1, 1, 2, 7]),
            privileged: rng.bool(),
            archive: !one_in(rng, 8),
            foreigners: one_in(rng, 4),
            receiver_timeout: between(rng, 60, 800),
            length: between(rng, 2_000, 6_000),
            calm: rng.u64(60..600),
            sessions: rng.usize(2..6),
            lossy: pick(rng, &[10, 50, 1_000]),
            slow: pick(rng, &[5, 30, 1_000]),
            fence: one_in(dice, 3),
            stragglers: one_in(lots, 8) && standbys > 1,
            suspended: one_in(lots, 8),
        };
        if plan.stragglers {
            let failover = &mut plan.config.failover;
            (failover.mode, failover.dry_run) = (FailoverMode::Automatic, false);
            (failover.witness, failover.min_replicas) = (true, 2);
        }
        plan
    }
}

fn strategy(rng: &mut Rng) -> Strategy {
    use Strategy as S;
    pick(rng, &[S::Weighted, S::RoundRobin, S::Random, S::LeastLag, S::LeastConnections, S::P2c])
}

fn config(rng: &mut Rng, standbys: usize) -> Config {
    let mut config = Config::default();
    config.primary = node(rng, 0);
    config.replicas = (1..=standbys).map(|number| node(rng, number)).collect();
    config.max_lag = pick(rng, &[None, Some(ms(300)), Some(ms(2_000))]);
    if rng.bool() {
        config.region = Some("a".into());
        config.regions = vec!["b".into()];
        config.spill = pick(rng, &[Spill::Unavailable, Spill::Never, Spill::Below(2)]);
    }
    let fallback = pick(rng, &[GroupFallback::Any, GroupFallback::Primary, GroupFallback::Error]);
    config.groups.insert("analytics".into(), GroupConfig::new(fallback, rng.bool()));
    config.monitor.interval = between(rng, 20, 80);
    config.monitor.timeout = between(rng, 40, 250);
    let percent = |rng: &mut Rng| Percent::new(pick(rng, &[0, 34, 50, 100])).unwrap_or_default();
    config.health.down_after = rng.u32(1..=4);
    config.health.up_after = rng.u32(1..=3);
    config.health.probation = between(rng, 0, 400);
    config.health.slow_start = between(rng, 0, 600);
    config.health.panic_threshold = percent(rng);
    config.health.max_ejected = percent(rng);
    config.lag.info = ms(100);
    config.lag.warning = ms(400);
    config.lag.error = ms(1_200);
    config.lag.critical = ms(4_000);
    config.lag.hold = between(rng, 0, 200);
    config.lag.history = 16;
    use FailoverMode as M;
    config.failover.mode =
        pick(rng, &[M::Follow, M::Follow, M::Automatic, M::Automatic, M::Supervised, M::Manual]);
    config.failover.confirmations = rng.u32(1..=4);
    config.failover.witness = !one_in(rng, 4);
    config.failover.min_replicas = rng.u32(0..=2);
    config.failover.max_lag_bytes = pick(rng, &[None, Some(2_000), Some(1 << 24)]);
    config.failover.cooldown = between(rng, 0, 2_000);
    config.failover.dry_run = one_in(rng, 8);
    config
}

/// The configuration of the node at an address.
pub(super) fn node(rng: &mut Rng, address: usize) -> NodeConfig {
    let url = format!("postgres://db{address}/app");
    let mut node = NodeConfig::new(url.as_str()).unwrap_or_default().with_name(format!("db{address}"));
    node = node.with_weight(pick(rng, &[1, 50, 100])).with_priority(pick(rng, &[0, 0, 0, 1]));
    if let Some(region) = pick(rng, &[None, Some("a"), Some("b"), Some("c")]) {
        node = node.with_region(region);
    }
    if one_in(rng, 4) {
        node = node.with_max_lag(between(rng, 100, 1_000));
    }
    if one_in(rng, 4) {
        node = node.with_group("analytics");
    }
    node
}
