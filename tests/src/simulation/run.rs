//! One run: the loop, and the pieces that it drives.

use std::sync::Arc;

use fastrand::Rng;
use rr_core::balance::{self, Balancer};
use rr_core::load::Load;
use rr_core::position::Position;
use rr_core::requirement::Requirement;
use rr_core::time::Moment;
use rr_core::topology::{NodeId, Topology};
use rr_core::world::{Effect, Event, Notice, World};

use super::agenda::Agenda;
use super::clients::{Client, Reading, Writing};
use super::cluster::Cluster;
use super::faults::Mend;
use super::lies::uncounted;
use super::monitor::Told;
use super::oracle::Oracle;
use super::plan::{Plan, between, ms};
use super::promotions::Undertaking;
use super::stats::Stats;
use super::trace::{Trace, note};
use super::{Lie, Options, Outcome};

/// How long everything is left in peace at the end, so that it can settle.
const SETTLING: u64 = 1_500;

/// How long nobody writes before the end.
const IDLE: u64 = 500;

/// When a run begins; later than the clock's origin, so that there is a time before it.
const START: Moment = Moment::from_millis(1_000);

/// What is to happen at some moment.
#[derive(Debug)]
pub(super) enum Action {
    /// A node's turn to be probed, and the next one after that.
    Turn(NodeId),
    /// A probe reaches its server.
    Arrive {
        node: NodeId,
        asked_at: Moment,
    },
    /// The monitor hears something.
    Hear(Told),
    /// A standby streams and applies.
    Replicate(usize),
    /// Other applications write.
    Traffic,
    /// A session does something.
    Client(usize),
    Write(Writing),
    Read(Reading),
    /// Something goes wrong.
    Fault,
    Mend(Mend),
    /// Somebody promotes the server.
    Promote {
        server: usize,
        ours: bool,
    },
    /// A server that was promoted leaves recovery.
    LeaveRecovery(usize),
    /// A promotion under way goes on.
    Step(u64),
    /// The lease is lost, or won again, and the world hears of it.
    LeaseTurns,
    LeaseHeard(bool),
    /// Somebody wants another primary.
    Switchover,
    /// The log does not reach a standby for a while, and a server dies in that time.
    Straggle,
    Die(usize),
    /// The machine is suspended, and wakes up minutes later.
    Suspend,
    /// The end of all faults.
    Peace,
    /// All control files come up to date.
    Checkpoint,
    /// The last write, which ends where its page does, and nobody writes any more.
    LastWrite,
    /// The end.
    End,
}

/// A node as it was announced to the world.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: NodeId,
    /// The address, which is a server's index.
    pub(super) server: usize,
    pub(super) left: bool,
    pub(super) draining: bool,
    /// Faults since the last success.
    pub(super) faults: u32,
    pub(super) load: Arc<Load>,
    /// Its statements in flight. Balancing does not see them, so that the rows of seeds mean what they meant.
    pub(super) flights: Arc<Load>,
}

#[derive(Debug)]
pub(super) struct Simulation {
    pub(super) now: Moment,
    pub(super) rng: Rng,
    /// For promotions.
    pub(super) dice: Rng,
    /// For standbys that lag behind the others.
    pub(super) lots: Rng,
    pub(super) plan: Plan,
    pub(super) options: Options,
    pub(super) truth: Cluster,
    pub(super) world: World,
    pub(super) topology: Arc<Topology>,
    pub(super) balancer: Arc<dyn Balancer>,
    pub(super) members: Vec<Member>,
    pub(super) clients: Vec<Client>,
    pub(super) oracle: Oracle,
    pub(super) agenda: Agenda<Action>,
    pub(super) trace: Trace,
    /// Violations that are in the trace already.
    shown: usize,
    pub(super) stats: Stats,
    /// The monitor sleeps until then.
    pub(super) stalled_until: Moment,
    /// All nodes were to be probed at once not long ago.
    pub(super) alarmed_at: Moment,
    /// When nothing goes wrong any more, and whether that has come.
    pub(super) peace_at: Moment,
    pub(super) peace: bool,
    /// The position of the last write of all.
    pub(super) last_write: Option<Position>,
    /// Servers may take their time at the end of recovery.
    pub(super) lingers: bool,
    /// The promotion under way.
    pub(super) undertaking: Option<Undertaking>,
    pub(super) undertakings: u64,
    /// There is one.
    pub(super) busy: bool,
    /// This process holds the lease.
    pub(super) lease: bool,
    /// It cannot be lost before this.
    pub(super) lease_until: Moment,
    /// As far as the world knows.
    lease_heard: bool,
}

/// What there is to be judged at the end of a run.
#[derive(Debug)]
pub(super) struct End<'a> {
    pub(super) now: Moment,
    pub(super) last_write: Option<Position>,
    pub(super) members: &'a [Member],
}

impl Simulation {
    pub(super) fn new(seed: u64, options: Options) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut dice = Rng::with_seed(!seed);
        let mut lots = Rng::with_seed(seed.rotate_left(32));
        let plan = Plan::draw(&mut rng, &mut dice, &mut lots);
        let system = 7_000;
        let truth = Cluster::new(system, plan.timeline, plan.standbys, plan.archive, plan.receiver_timeout);
        let mut config = plan.config.clone();
        options.lie.iter().for_each(|lie| lie.configure(&mut config));
        let world = World::new(config);
        Self {
            now: START,
            topology: Arc::new(world.topology(Moment::ORIGIN)),
            oracle: Oracle::new(&plan, system),
            balancer: balance::balancer(plan.strategy),
            members: Vec::new(),
            clients: (0..plan.sessions).map(|number| Client::new(&mut rng, number)).collect(),
            agenda: Agenda::new(),
            trace: Trace::new(options.recording),
            shown: 0,
            stats: Stats::default(),
            stalled_until: Moment::ORIGIN,
            alarmed_at: Moment::ORIGIN,
            peace_at: START + plan.length,
            peace: false,
            last_write: None,
            rng,
            dice,
            lots,
            lingers: Self::lingers(seed),
            undertaking: None,
            undertakings: 0,
            busy: false,
            lease: true,
            lease_until: Moment::ORIGIN,
            lease_heard: false,
            plan,
            options,
            truth,
            world,
        }
    }

    pub(super) fn run(mut self, seed: u64) -> Outcome {
        note!(self, "seed {seed}: {} standbys, timeline {}", self.plan.standbys, self.plan.timeline);
        self.prepare();
        while let Some((at, action)) = self.agenda.next() {
            self.now = at;
            self.stats.steps += 1;
            if matches!(action, Action::End) {
                let end = End { now: self.now, last_write: self.last_write.clone(), members: &self.members };
                self.oracle.settled(&end, &self.topology, &self.truth);
                self.agenda.clear();
                self.oracle.landed(self.now, &self.members);
                self.show_violations();
                break;
            }
            self.act(action);
            self.show_violations();
            if self.oracle.is_full() {
                break;
            }
        }
        let (violations, limits) = self.oracle.finish();
        self.stats.limits = limits;
        let (hash, lines) = self.trace.finish();
        Outcome { seed, violations, stats: self.stats, hash, lines }
    }

    fn show_violations(&mut self) {
        for violation in &self.oracle.violations()[self.shown..] {
            self.trace.line(self.now, format_args!("VIOLATION {violation}"));
        }
        self.shown = self.oracle.violations().len();
    }

    fn prepare(&mut self) {
        for server in 0..self.truth.servers.len() {
            // Sometimes a node is announced later.
            if server < 2 || self.rng.u32(0..6) > 0 {
                self.join(server);
            }
            let first = self.soon(20);
            self.agenda.add(first, Action::Replicate(server));
        }
        if self.rng.u32(0..20) == 0 {
            let server = self.rng.usize(0..self.truth.servers.len());
            self.stranger_from_the_start(server);
        }
        for client in 0..self.clients.len() {
            let first = self.soon(200);
            self.agenda.add(first, Action::Client(client));
        }
        let (traffic, fault) = (self.soon(10), self.soon(600));
        self.agenda.add(traffic, Action::Traffic);
        self.agenda.add(fault, Action::Fault);
        self.agenda.add(self.now, Action::Hear(Told::Tick));
        self.agenda.add(self.peace_at, Action::Peace);
        self.tell(Event::Lease(true));
        let (turn, switchover) = (between(&mut self.dice, 300, 4_000), between(&mut self.dice, 800, 6_000));
        self.agenda.add(self.now + turn, Action::LeaseTurns);
        self.agenda.add(self.now + switchover, Action::Switchover);
        if self.plan.suspended {
            let at = between(&mut self.lots, 200, 3_000);
            self.agenda.add(self.now + at, Action::Suspend);
        }
        if self.plan.stragglers {
            let first = between(&mut self.lots, 100, 1_000);
            self.agenda.add(self.now + first, Action::Straggle);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Turn(node) => self.turn(node),
            Action::Arrive { node, asked_at } => self.arrive(node, asked_at),
            Action::Hear(told) => self.hear(told),
            Action::Replicate(server) => {
                let records = self.rng.usize(1..12);
                self.truth.replicate(server, records, self.now);
                let next = self.soon(25);
                self.agenda.add(next, Action::Replicate(server));
            }
            Action::Traffic => self.traffic(),
            Action::Client(client) => self.client(client),
            Action::Write(writing) => self.write(writing),
            Action::Read(reading) => self.read(reading),
            Action::Fault => self.fault(),
            Action::Mend(mend) => self.mend(mend),
            Action::Promote { server, ours } => self.promote(server, ours),
            Action::LeaveRecovery(server) => self.truth.end_recovery(server),
            Action::Step(number) => self.step(number),
            Action::LeaseTurns => self.lease_turns(),
            Action::LeaseHeard(held) => {
                if !self.peace {
                    self.tell(Event::Lease(held));
                }
            }
            Action::Switchover => self.switchover(),
            Action::Straggle => self.straggle(),
            Action::Die(server) => self.die(server),
            Action::Suspend => self.suspend(),
            Action::Peace => {
                self.end_undertaking();
                self.make_peace();
                for millis in [300, 600, 900] {
                    self.agenda.add(self.now + ms(millis), Action::Checkpoint);
                }
                self.agenda.add(self.now + ms(SETTLING - IDLE), Action::LastWrite);
                self.agenda.add(self.now + ms(SETTLING), Action::End);
            }
            Action::Checkpoint => {
                for server in &mut self.truth.servers {
                    server.checkpoint(&self.truth.wal);
                }
            }
            Action::LastWrite => self.last_write(),
            Action::End => {}
        }
    }

    /// Tells the world, and does what it says.
    pub(super) fn tell(&mut self, mut event: Event) {
        if let Event::Lease(held) = &mut event {
            self.lease_heard = *held;
            *held |= self.lies(Lie::Unleased);
        }
        match event {
            Event::Fenced(node) => self.oracle.retracted(self.now, Some(node), false),
            Event::Cleared => self.oracle.retracted(self.now, self.world.in_doubt(), true),
            _ => {}
        }
        let idle = !self.busy && self.world.promoting().is_none();
        let effects = self.world.apply(event, self.now);
        if idle && self.world.in_doubt().is_none() {
            // A doubt ends by itself when somebody is seen to have taken over.
            self.oracle.holding = false;
        }
        // A promotion is judged by what is published together with it.
        let published = effects.iter().rev().find_map(|effect| match effect {
            Effect::Publish(topology) => Some(Arc::clone(topology)),
            _ => None,
        });
        let published = published.unwrap_or_else(|| Arc::clone(&self.topology));
        let mut ordered = false;
        for effect in effects {
            match effect {
                Effect::Publish(topology) => {
                    self.topology = match self.lies(Lie::Uncounted) {
                        true => uncounted(&topology, &self.topology, &self.plan.config).into(),
                        false => topology,
                    };
                    self.stats.published += 1;
                    self.oracle.published(self.now, &self.topology, &self.truth, &self.members);
                }
                Effect::ProbeAll => self.probe_all(),
                Effect::Promote(node) => {
                    let mut others =
                        self.members.iter().map(|member| member.id).filter(|other| *other != node);
                    let named = others.next_back().filter(|_| self.lies(Lie::Misdirected)).unwrap_or(node);
                    note!(self, "the world promotes {named}");
                    self.stats.promotions += 1;
                    let primary = self.world.head().map(|(id, _)| id);
                    self.oracle.promoting(self.now, named, primary, self.lease_heard, &published);
                    ordered = true;
                }
                Effect::Probe(ids) => ids.into_iter().for_each(|id| self.probe(id)),
                Effect::Propose(_) => {}
                Effect::Report(notice) => self.report(&notice),
                Effect::Remember(memory) => self.oracle.remembering(self.now, memory),
                other => self.oracle.object(self.now, format!("an unknown effect: {other:?}")),
            }
        }
        self.oracle.compare_with_notices(self.now, &published);
        if ordered {
            self.undertake(false);
        }
    }

    /// Whether this is done wrongly in this run.
    pub(super) fn lies(&self, lie: Lie) -> bool {
        self.options.lie == Some(lie)
    }

    fn report(&mut self, notice: &Notice) {
        note!(self, "  notice: {notice}");
        self.stats.count(notice);
        self.oracle.noticed(self.now, notice);
    }

    pub(super) fn promote(&mut self, server: usize, ours: bool) {
        if ours && !std::mem::take(&mut self.truth.servers[server].told) {
            // It was started again since, or fenced.
            return;
        }
        if !self.peace && self.truth.promote(server) {
            self.truth.servers[server].ours = ours;
            self.leave_recovery(server);
            note!(self, "db{server} is promoted to timeline {}", self.truth.timeline(server));
            self.stats.failovers += 1;
            if !ours {
                self.follow_up(server);
            }
        }
    }

    pub(super) fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// Some moment within so many milliseconds.
    pub(super) fn soon(&mut self, millis: u64) -> Moment {
        self.now + between(&mut self.rng, 0, millis)
    }

    /// A session's requirement in words.
    pub(super) fn describe(requirement: &Requirement) -> String {
        let covers = requirement.covers.as_ref().map_or_else(String::new, Position::to_string);
        format!(
            "primary={} covers={covers} after={:?} seen={:?} max_lag={:?}",
            requirement.primary, requirement.after, requirement.seen, requirement.max_lag
        )
    }
}
