//! The shell around the world: tasks, clocks and connections, and no decisions.
//!
//! ```text
//! one probe task per node ─┐                            ┌─▶ snapshot (topology + pools), waiters woken
//! faults from routes ──────┼─▶ worker: World::apply ────┼─▶ probes poked
//! add, drain, remove ──────┘                            └─▶ notices: logs, metrics, subscribers
//! ```
//!
//! The worker owns the world and every task; what adds nodes by itself is in `discover`. Probe tasks that panic are started again; when the last router is
//! dropped or shut down, the worker ends its tasks before it ends itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::config::{Config, FailoverMode, NodeConfig};
use crate::connector::{Connector, Target};
use crate::consistency::Consistency;
use crate::discovery::Discovery;
use crate::engine::Engine;
use crate::error::{NodeError, StartError};
use crate::failover::Task;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::notify::{Couriers, Post};
use crate::requirement::Requirement;
use crate::session::{LentWrites, Session};
use crate::snapshot::{Common, Member, Pulse, Snapshot};
use crate::sync::{News, Swap};
use crate::tally::{Reign, Tally};
use crate::throttle::Throttles;
use crate::time::{Clock, Moment};
use crate::topology::{Epoch, NodeId, Role, Topology};
use crate::trail::Trail;
use crate::world::{Effect, Event, NodeSpec, Notice, World};
use crate::writers::Writers;

mod circle;
mod command;
mod discover;
mod first_write;
mod keeper;
mod probe;
mod report;

mod promoter;
mod publish;
mod tenure;
mod wanted;

use first_write::{Accession, First, FirstWrites};
use keeper::Keeper;

pub(crate) use circle::Circle;
pub(crate) use command::{Command, Prospects};
pub(crate) use promoter::{Approval, Board, Desk, Hooks, Peer, Privileges, look_at_all};

/// Time goes by for the world at this pace: ejections end, weights grow, staleness rings alarms.
const TICK: Duration = Duration::from_millis(100);

/// Events on their way to the worker at most. Probes wait when it is full; faults are dropped.
const QUEUE: usize = 1024;

/// Notices that a slow subscriber may be behind before it misses some.
const NOTICES: usize = 256;

/// What the worker writes and everybody reads.
pub(crate) struct Shared<C: Connector> {
    pub(crate) connector: C,
    pub(crate) engine: Engine,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) snapshot: Swap<Snapshot<C::Pool>>,
    /// Counts publications; whoever waits for a position waits for it to change.
    pub(crate) published: News,
    pub(crate) notices: broadcast::Sender<Notice>,
    pub(crate) journal: Journal,
    /// Where the last statements went, while somebody watches.
    pub(crate) trail: Trail,
    /// What this process wrote, in whatever session.
    pub(crate) own: Session,
    /// What was written where nobody sees for whom.
    pub(crate) lent: LentWrites,
    pub(crate) tally: Tally,
    /// What became of promotions, and what is proposed.
    pub(crate) board: Board,
    pub(crate) first_writes: FirstWrites,
    /// Those of other routers of the same database.
    pub(crate) circle: Arc<Circle>,
    pub(crate) metrics: Metrics,
    /// The worker's.
    pub(crate) pulse: Pulse,
    pub(crate) throttles: Throttles,
    /// Those that wait for a primary.
    pub(crate) writers: Arc<Writers>,
}

impl<C: Connector> Shared<C> {
    /// What a read outside of any session must see: everything that was written through routers of this database.
    #[inline]
    pub(crate) fn requirement(&self, level: Consistency) -> Requirement {
        // The order matters: what is no longer on its way is in the register.
        let placing = self.circle.placing_since();
        let mut requirement = self.own.requirement(level);
        if placing.is_some() && matches!(level, Consistency::ReadAfterWrite | Consistency::Session) {
            requirement.after = requirement.after.max(placing);
        }
        requirement
    }

    /// When something was last written whose position is still unknown: in this session, or else in whatever session.
    pub(crate) fn unplaced_since(&self, session: Option<&Session>) -> Option<Moment> {
        match session {
            Some(session) => session.unplaced_since(),
            None => self.circle.placing_since().max(self.own.unplaced_since()),
        }
    }
}

/// The worker's end of things.
pub(crate) struct Worker<C: Connector> {
    shared: Arc<Shared<C>>,
    world: World,
    nodes: Vec<Known<C::Pool>>,
    next_id: u32,
    probes: JoinSet<()>,
    couriers: Couriers,
    /// What the cluster is called in notifications.
    cluster: Arc<str>,
    seekers: discover::Seekers,
    desk: Desk,
    /// Writes are held, and the pool of the primary was replaced because of that.
    holding: bool,
    events: mpsc::Receiver<Event>,
    /// Cloned into every node.
    sender: mpsc::Sender<Event>,
    commands: mpsc::Receiver<Command>,
    /// Ends when the router does.
    stop: watch::Receiver<()>,
    /// Becomes true when enough is known of every configured node.
    looked: watch::Sender<bool>,
    keeper: Keeper,
    reign: Reign,
    /// The last change of primary.
    accession: Option<Accession>,
    first_writes: mpsc::Receiver<First>,
}

/// A node that the worker watches.
struct Known<P> {
    config: NodeConfig,
    common: Arc<Common>,
    member: Arc<Member<P>>,
    probe: Id,
    look: Look,
    /// When it fell silent, if it is.
    silent_since: Option<Moment>,
}

/// What the last look at a node gave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// None was taken yet.
    Pending,
    Answered,
    Silent,
}

/// What the application has plugged in.
#[derive(Default)]
pub(crate) struct Plugins {
    pub(crate) hooks: Hooks,
    pub(crate) notifiers: Vec<Post>,
    pub(crate) discoveries: Vec<Arc<dyn Discovery>>,
}

/// The router's end of things.
pub(crate) struct Ends {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) stop: watch::Sender<()>,
    pub(crate) looked: watch::Receiver<bool>,
}

/// Runs the worker and tells when it ends as it should not. Nobody else would: routing goes on with what was known, the
/// replicas' data grows old by our own clock, and the reads move to the primary.
pub(crate) async fn outlive<C: Connector>(worker: Worker<C>) {
    let writers = Arc::clone(&worker.shared.writers);
    let ended = tokio::spawn(worker.run()).await;
    writers.close();
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(target: "rr", "the monitor panicked: nodes are no longer watched; restart the process");
    }
}

impl<C: Connector> Worker<C> {
    /// Opens the pools of all configured nodes (without connecting) and begins to watch them.
    pub(crate) fn start(
        connector: C,
        config: Config,
        engine: Engine,
        plugins: Plugins,
    ) -> Result<(Self, Arc<Shared<C>>, Ends), StartError> {
        let (sender, events) = mpsc::channel(QUEUE);
        let (command_sender, commands) = mpsc::channel(16);
        let (stop_sender, stop) = watch::channel(());
        let (looked, looked_receiver) = watch::channel(false);
        let (first_writes, first_write) = FirstWrites::new();
        let clock = Clock::of_process();
        let own = Session::new();
        let mut world = World::new(config.clone());
        let (keeper, memory) = Keeper::open(config.failover.state_file.as_deref())?;
        if let Some(memory) = memory {
            world = world.remembering(memory);
        }
        let topology = Arc::new(world.topology(clock.now()));
        let shared = Arc::new(Shared {
            connector,
            engine,
            clock,
            snapshot: Swap::from_pointee(Snapshot::new(topology, Vec::new())),
            published: News::new(0),
            notices: broadcast::Sender::new(NOTICES),
            journal: Journal::default(),
            trail: Trail::default(),
            tally: Tally::default(),
            board: Board::default(),
            first_writes,
            circle: Circle::join(&config.primary.url, &own),
            own,
            lent: LentWrites::default(),
            metrics: Metrics::new(),
            pulse: Pulse::default(),
            throttles: Throttles::default(),
            writers: Arc::new(Writers::new(config.write_queue)),
            config,
        });
        shared.pulse.beat(clock.now());
        shared.metrics.observe(&shared);
        let mut worker = Self {
            shared: Arc::clone(&shared),
            world,
            nodes: Vec::new(),
            next_id: 0,
            probes: JoinSet::new(),
            couriers: Couriers::start(plugins.notifiers, clock, shared.metrics.deliveries()),
            cluster: shared.config.cluster().into(),
            seekers: discover::Seekers::start(&shared, plugins.discoveries, &command_sender, &stop),
            desk: Desk::new(plugins.hooks, &shared.circle, clock, command_sender.clone()),
            holding: false,
            events,
            sender,
            commands,
            stop,
            looked,
            keeper,
            reign: Reign::default(),
            accession: None,
            first_writes: first_write,
        };
        for (index, node) in shared.config.nodes().enumerate() {
            let expected = if index == 0 { Role::Primary } else { Role::Replica };
            worker
                .join(node.clone(), expected)
                .map_err(|source| StartError::Pool { node: node.name.clone(), source: Box::new(source) })?;
        }
        let ends = Ends { commands: command_sender, stop: stop_sender, looked: looked_receiver };
        Ok((worker, shared, ends))
    }

    /// Works until the router is dropped or shut down; then no task of it is left.
    pub(crate) async fn run(mut self) {
        let mut tenure = JoinSet::new();
        let mode = self.shared.config.failover.mode;
        if matches!(mode, FailoverMode::Supervised | FailoverMode::Automatic) {
            if self.shared.config.failover.dry_run {
                // Who only says what it would do keeps nobody from doing it.
                self.take(Event::Lease(true));
            } else {
                tenure.spawn(Arc::clone(&self.desk.tenure).keep(self.sender.clone()));
            }
        }
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Resolves on a signal and, as an error, when the sender is gone.
                _ = self.stop.changed() => break,
                Some(event) = self.events.recv() => self.take(event),
                Some(command) = self.commands.recv() => self.obey(command),
                Some(ended) = self.probes.join_next_with_id() => self.revive(&ended),
                Some(ended) = self.couriers.ended() => self.couriers.revive(&ended),
                Some(Err(error)) = self.seekers.ended() => {
                    tracing::error!(target: "rr", %error, "nodes are no longer looked for; restart the process");
                }
                Some(ended) = self.desk.ended() => self.conclude(ended),
                Some(first) = self.first_writes.recv() => self.note_first_write(first),
                _ = ticks.tick() => {
                    self.take(Event::Tick);
                    self.shared.pulse.beat(self.shared.clock.now());
                    self.shared.metrics.hand_over();
                    self.review_proposal();
                }
            }
        }
        // Whoever asks now is told at once that nobody answers any more.
        self.commands = mpsc::channel(1).1;
        self.desk.close().await;
        tenure.shutdown().await;
        self.desk.tenure.end().await;
        self.seekers.shutdown().await;
        self.probes.shutdown().await;
        self.couriers.close().await;
        self.keeper.end().await;
    }

    /// Applies an event and whatever else is waiting, and publishes once.
    fn take(&mut self, event: Event) {
        let mut topology = None;
        let mut next = Some(event);
        while let Some(event) = next {
            self.note_look(&event);
            topology = self.apply(event).or(topology);
            next = self.events.try_recv().ok();
        }
        if let Some(topology) = topology {
            self.publish(topology);
        }
    }

    fn apply(&mut self, event: Event) -> Option<Arc<Topology>> {
        let mut topology = None;
        for effect in self.world.apply(event, self.shared.clock.now()) {
            match effect {
                Effect::Publish(published) => topology = Some(published),
                Effect::ProbeAll => self.nodes.iter().for_each(|node| node.common.poke.notify_one()),
                Effect::Probe(ids) => {
                    let asked = self.nodes.iter().filter(|node| ids.contains(&node.common.id));
                    asked.for_each(|node| node.common.poke.notify_one());
                }
                Effect::Report(notice) => self.report(notice),
                Effect::Remember(memory) => self.keeper.keep(memory),
                Effect::Promote(_) => {
                    // Who is found out by a closer look.
                    let from = self.world.head().map(|(id, _)| id);
                    let task = Task { from, ..Task::default() };
                    if let Err(error) = self.undertake(task, "the primary is gone") {
                        tracing::error!(target: "rr", %error, "a promotion cannot be begun");
                    }
                }
                Effect::Propose(target) => self.propose(target),
            }
        }
        topology
    }

    fn join(&mut self, config: NodeConfig, expected: Role) -> Result<NodeId, C::Error> {
        let id = NodeId::new(self.next_id);
        let common = Arc::new(Common::new(id, config.clone(), self.shared.clock, self.sender.clone()));
        let member = self.open(&config, &common, expected, Epoch::default())?;
        self.next_id += 1;
        let spec = NodeSpec::from_config(&config, expected, &self.shared.config);
        let probe = self.probe(&config, &common);
        self.nodes.push(Known { config, common, member, probe, look: Look::Pending, silent_since: None });
        if let Some(topology) = self.apply(Event::Joined(id, spec)) {
            self.publish(topology);
        }
        Ok(id)
    }

    fn open(
        &self,
        config: &NodeConfig,
        common: &Arc<Common>,
        role: Role,
        epoch: Epoch,
    ) -> Result<Arc<Member<C::Pool>>, C::Error> {
        let target = self.target(config, role, epoch);
        let pool = self.shared.connector.pool(&target)?;
        Ok(Arc::new(Member { common: Arc::clone(common), role, epoch, max: target.pool.max, pool, target }))
    }

    fn probe(&mut self, config: &NodeConfig, common: &Arc<Common>) -> Id {
        let target = self.target(config, Role::Replica, Epoch::default());
        let probe =
            probe::Probe::new(Arc::clone(&self.shared), target, Arc::clone(common), self.sender.clone());
        self.probes.spawn(probe.run()).id()
    }

    fn target(&self, node: &NodeConfig, role: Role, epoch: Epoch) -> Target {
        Target::new(&self.shared.config, node, self.shared.engine, role, epoch)
    }

    /// A probe task never returns; it panicked, or its node left.
    fn revive(&mut self, ended: &Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let Some(index) = self.nodes.iter().position(|node| node.probe == id) else { return };
        let (config, common) = (self.nodes[index].config.clone(), Arc::clone(&self.nodes[index].common));
        tracing::error!(target: "rr", node = &*common.name, "its probe panicked; started again");
        self.nodes[index].probe = self.probe(&config, &common);
        self.take(Event::Silent { node: common.id });
    }

    fn note_look(&mut self, event: &Event) {
        let (id, look) = match event {
            Event::Answered { node, .. } => (node, Look::Answered),
            Event::Silent { node } => (node, Look::Silent),
            _ => return,
        };
        if let Some(node) = self.nodes.iter_mut().find(|node| node.common.id == *id) {
            node.look = look;
            let since = || self.shared.clock.now();
            node.silent_since = (look == Look::Silent).then(|| node.silent_since.unwrap_or_else(since));
        }
    }

    fn leave(&mut self, index: usize) {
        let node = self.nodes.remove(index);
        if let Some(topology) = self.apply(Event::Left(node.common.id)) {
            self.publish(topology);
        }
        // Its probe ends by itself; its pool is closed when the last route to it is gone.
        node.common.retire();
    }

    fn find(&self, name: &str) -> Result<usize, NodeError> {
        let found = self.nodes.iter().position(|node| *node.common.name == *name);
        found.ok_or_else(|| NodeError::Unknown(name.to_owned()))
    }
}
