//! One task per [`Discovery`]: ask, compare with what is known, have the worker add and take out, pause, again.
//!
//! Nothing that a discovery does reaches further than this file. It runs on a thread for blocking work, with a hard time limit:
//! if it fails, panics, blocks or never returns, the nodes that were found last stay, and nobody waits for it. It is never asked
//! twice at once; one that blocks its thread is not asked again before it lets go of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, timeout};

use super::{Command, Shared};
use crate::config::{Config, DiscoveryKind, NodeConfig};
use crate::connector::Connector;
use crate::discovery::{
    Answer, Discovery, DiscoveryError, Finding, Found, Known, Leaving, Limits, Other, Refusal, Step,
    reconcile,
};
use crate::error::NodeError;
use crate::time::Moment;
use crate::topology::Epoch;
use crate::world::Notice;

#[cfg(feature = "dns")]
mod dns;
mod replication;

/// While nodes leave, it is looked at this pace whether they are idle.
const SETTLING: Duration = Duration::from_millis(50);

/// After a first failure it is asked again this soon; after each further one, after twice the time.
const RETRY: Duration = Duration::from_millis(500);

/// The tasks of all discoveries. They end with it.
pub(super) struct Seekers {
    tasks: JoinSet<()>,
    /// Those whose first answer has not been dealt with.
    awaited: Arc<AtomicUsize>,
}

impl Seekers {
    /// Begins to ask what the configuration and the application have named.
    pub(super) fn start<C: Connector>(
        shared: &Arc<Shared<C>>,
        plugged: Vec<Arc<dyn Discovery>>,
        commands: &mpsc::Sender<Command>,
        stop: &watch::Receiver<()>,
    ) -> Self {
        let configured = match shared.config.discovery.kind {
            DiscoveryKind::Static => None,
            DiscoveryKind::Replication => Some(replication::discovery(shared)),
            #[cfg(feature = "dns")]
            DiscoveryKind::Dns => Some(dns::discovery(&shared.config)),
            // Refused by the configuration's check.
            #[cfg(not(feature = "dns"))]
            DiscoveryKind::Dns => None,
        };
        let asks_primary = configured.is_some() && shared.config.discovery.kind == DiscoveryKind::Replication;
        let all = configured.into_iter().map(|discovery| (discovery, asks_primary));
        let all: Vec<_> = all.chain(plugged.into_iter().map(|discovery| (discovery, false))).collect();
        let awaited = Arc::new(AtomicUsize::new(all.len()));
        let mut tasks = JoinSet::new();
        for (discovery, asks_primary) in all {
            let seeker = Seeker {
                shared: Arc::clone(shared),
                source: discovery.name().into(),
                discovery,
                asks_primary,
                commands: commands.clone(),
                asking: JoinSet::new(),
                call: None,
                members: Vec::new(),
                last: Vec::new(),
                failures: 0,
                told: BTreeSet::new(),
            };
            tasks.spawn(seeker.run(stop.clone(), Arc::clone(&awaited)));
        }
        Self { tasks, awaited }
    }

    /// Whether all have answered once, or failed to.
    pub(super) fn have_looked(&self) -> bool {
        self.awaited.load(Ordering::Acquire) == 0
    }

    /// Resolves when a task ends, which none does before the router; not while there is none.
    pub(super) async fn ended(&mut self) -> Option<Result<(), JoinError>> {
        self.tasks.join_next().await
    }

    /// Waits until all have ended. They have been told to.
    pub(super) async fn shutdown(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// A node that was found, and joined.
struct Member {
    node: NodeConfig,
    missing_since: Option<Moment>,
    leaving_since: Option<Moment>,
}

struct Seeker<C: Connector> {
    shared: Arc<Shared<C>>,
    discovery: Arc<dyn Discovery>,
    source: Arc<str>,
    /// It makes no sense to ask before a primary has answered.
    asks_primary: bool,
    commands: mpsc::Sender<Command>,
    /// The call that is under way: one at most.
    asking: JoinSet<Result<Found, DiscoveryError>>,
    /// Dropping it drops the call, at its next await.
    call: Option<oneshot::Sender<()>>,
    members: Vec<Member>,
    /// The nodes of the last good answer.
    last: Vec<NodeConfig>,
    /// In a row.
    failures: u32,
    /// What of the last answer was told already, and need not be told again.
    told: BTreeSet<(Arc<str>, Option<Refusal>)>,
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{}", chain(&**.0))]
    Failed(DiscoveryError),
    #[error("no answer within {0:?} (`discovery.timeout`)")]
    Timeout(Duration),
    #[error("no answer, and the last call blocks its thread")]
    Blocked,
    #[error("it panicked")]
    Panicked,
    #[error("the answer is empty; if there really are no nodes, set `discovery.allow_empty`")]
    Empty,
}

impl AskError {
    /// Its kind, as a label of few values.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Failed(_) => "error",
            Self::Timeout(_) | Self::Blocked => "timeout",
            Self::Panicked => "panic",
            Self::Empty => "empty",
        }
    }
}

/// An error with its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl<C: Connector> Seeker<C> {
    /// Works until the router is dropped or shut down.
    async fn run(mut self, mut stop: watch::Receiver<()>, awaited: Arc<AtomicUsize>) {
        tokio::select! {
            _ = stop.changed() => {}
            () = self.seek(&awaited) => {}
        }
        self.call = None;
        let limit = self.shared.config.discovery.timeout;
        if timeout(limit, self.asking.join_next()).await.is_err() {
            tracing::error!(target: "rr", source = &*self.source, "discovery blocks its thread, and is left behind");
        }
    }

    async fn seek(&mut self, awaited: &AtomicUsize) {
        let mut published = self.shared.published.subscribe();
        while self.asks_primary && !self.primary_has_answered() {
            if published.changed().await.is_err() {
                return;
            }
        }
        let mut first = true;
        loop {
            let epoch = self.epoch();
            let pause = match self.ask().await {
                Ok(found) => self.take(found).await,
                Err(error) => self.fail(&error).await,
            };
            if std::mem::take(&mut first) {
                awaited.fetch_sub(1, Ordering::Release);
            }
            self.pause(pause, epoch).await;
        }
    }

    async fn ask(&mut self) -> Result<Found, AskError> {
        let limit = self.shared.config.discovery.timeout;
        // What was dropped has ended, unless it blocks its thread.
        if timeout(limit, self.asking.join_next()).await.is_err() {
            return Err(AskError::Blocked);
        }
        let (call, dropped) = oneshot::channel();
        self.call = Some(call);
        let (discovery, runtime) = (Arc::clone(&self.discovery), Handle::current());
        self.asking.spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    answer = discovery.discover() => answer,
                    _ = dropped => Err("dropped".into()),
                }
            })
        });
        let ended = timeout(limit, self.asking.join_next()).await;
        self.call = None;
        let Ok(ended) = ended else { return Err(AskError::Timeout(limit)) };
        let found = match ended {
            Some(Ok(answer)) => answer.map_err(AskError::Failed)?,
            Some(Err(_)) | None => return Err(AskError::Panicked),
        };
        let empty = found.nodes.is_empty() && found.refused.is_empty();
        if empty && !found.none && !found.partial && !self.shared.config.discovery.allow_empty {
            return Err(AskError::Empty);
        }
        Ok(found)
    }

    /// Acts on an answer; how long it is good for.
    async fn take(&mut self, found: Found) -> Duration {
        let limits = &self.shared.config.discovery;
        let pause = match found.good_for {
            Some(time) => time.clamp(limits.min_ttl, limits.max_ttl),
            None => limits.interval,
        };
        self.shared.metrics.discovery(&self.source, "ok");
        if std::mem::take(&mut self.failures) > 0 {
            self.tell(Finding::Recovered).await;
        }
        let mut refused = found.refused;
        let mut nodes = Vec::new();
        for node in &found.nodes {
            match checked(node.node(&self.shared.config.primary), &self.shared.config) {
                Ok(node) => nodes.push(node),
                Err(why) => refused.push((node.name.clone(), why)),
            }
        }
        self.last = nodes;
        let mut news = BTreeSet::new();
        for (name, why) in refused {
            self.refuse(&name, why, &mut news).await;
        }
        self.reconcile(!found.partial, &mut news).await;
        self.told = news;
        self.shared.metrics.discovered(&self.source, self.members.len());
        pause
    }

    /// Tells of a failure, once; when to ask again.
    async fn fail(&mut self, error: &AskError) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.shared.metrics.discovery(&self.source, error.kind());
        if self.failures == 1 {
            self.tell(Finding::Failed { error: error.to_string().into() }).await;
        } else {
            tracing::debug!(target: "rr", source = &*self.source, %error, "discovery failed again");
        }
        let doubled = RETRY.saturating_mul(1 << (self.failures - 1).min(16));
        doubled.min(self.shared.config.discovery.interval)
    }

    /// Pauses, unless there is a new primary meanwhile. What leaves is taken out when it is idle.
    async fn pause(&mut self, pause: Duration, epoch: Epoch) {
        // Processes that were started together do not ask together.
        let pause = pause.mul_f64(0.9 + 0.2 * fastrand::f64());
        let mut end = std::pin::pin!(tokio::time::sleep(pause));
        let mut published = self.shared.published.subscribe();
        // It goes on when something is published, which happens more often than this where there are many nodes.
        let mut settling = tokio::time::interval(SETTLING);
        settling.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.epoch() == epoch {
            let leaving = self.members.iter().any(|member| member.leaving_since.is_some());
            tokio::select! {
                () = &mut end => return,
                changed = published.changed() => if changed.is_err() { return end.await },
                _ = settling.tick(), if leaving => {
                    let mut news = std::mem::take(&mut self.told);
                    self.reconcile(false, &mut news).await;
                    self.told = news;
                }
            }
        }
    }

    /// Compares what is known with the last answer, which is `complete` if it has just come and lacks nothing.
    async fn reconcile(&mut self, complete: bool, news: &mut BTreeSet<(Arc<str>, Option<Refusal>)>) {
        let limits = &self.shared.config.discovery;
        let limits = Limits { grace: limits.grace, drain: limits.drain };
        for step in self.plan(complete, limits) {
            self.carry_out(step, news).await;
        }
    }

    fn plan(&mut self, complete: bool, limits: Limits) -> Vec<Step> {
        let snapshot = self.shared.snapshot.load_full();
        let topology = &snapshot.topology;
        let find = |node: &NodeConfig| topology.nodes().iter().position(|facts| *facts.name == *node.name);
        // Somebody else may have taken it out.
        self.members.retain(|member| find(&member.node).is_some());
        let primary = topology.primary_index().ok();
        let known: Vec<Known<'_>> = self
            .members
            .iter()
            .filter_map(|member| {
                let index = find(&member.node)?;
                Some(Known {
                    node: &member.node,
                    primary: primary == Some(index),
                    missing_since: member.missing_since,
                    leaving_since: member.leaving_since,
                    in_flight: snapshot.loads.get(index).map_or(0, |load| load.in_flight()),
                })
            })
            .collect();
        let is_own = |name: &str| self.members.iter().any(|member| member.node.name == name);
        let others = topology.nodes().iter().filter(|facts| !is_own(&facts.name));
        let others: Vec<Other<'_>> =
            others.map(|facts| Other { name: &facts.name, endpoint: &facts.endpoint }).collect();
        reconcile(&known, &others, Answer { nodes: &self.last, complete }, limits, self.shared.clock.now())
    }

    async fn carry_out(&mut self, step: Step, news: &mut BTreeSet<(Arc<str>, Option<Refusal>)>) {
        let now = self.shared.clock.now();
        match step {
            Step::Miss(name) => self.mark(&name, |member| member.missing_since = Some(now)),
            Step::Return(name) => self.mark(&name, |member| member.missing_since = None),
            Step::Drain(name, why) => {
                let node: Arc<str> = name.as_str().into();
                if self.command(|reply| Command::Drain(name.clone(), reply)).await.is_ok() {
                    self.tell(match why {
                        Leaving::Vanished => Finding::Vanished { node },
                        Leaving::Moved(endpoint) => Finding::Moved { node, endpoint: endpoint.into() },
                    })
                    .await;
                    self.mark(&name, |member| member.leaving_since = Some(now));
                }
            }
            Step::Remove(name) => {
                // Should it be the primary by now, it stays.
                if self.command(|reply| Command::Remove(name.clone(), reply)).await.is_ok() {
                    self.members.retain(|member| member.node.name != name);
                }
            }
            Step::Change(node) => {
                let changed = NodeConfig::clone(&node);
                self.mark(&node.name, |member| member.node = changed);
                self.send(Command::Relabel(node)).await;
            }
            Step::Add(node) => self.add(*node, news).await,
            Step::Refuse(name, why) => self.refuse(&name, why, news).await,
            Step::MissPrimary(name) => {
                let node: Arc<str> = name.into();
                if news.insert((Arc::clone(&node), None)) && !self.told.contains(&(Arc::clone(&node), None)) {
                    self.tell(Finding::PrimaryNotFound { node }).await;
                }
            }
        }
    }

    async fn add(&mut self, node: NodeConfig, news: &mut BTreeSet<(Arc<str>, Option<Refusal>)>) {
        let endpoint = node.url.endpoint().map_or_else(|| "?".into(), |endpoint| endpoint.to_string().into());
        match self.command(|reply| Command::Add(Box::new(node.clone()), reply)).await {
            Ok(_) => {
                self.tell(Finding::Found { node: node.name.as_str().into(), endpoint }).await;
                self.members.push(Member { node, missing_since: None, leaving_since: None });
            }
            Err(error) => self.refuse(&node.name, Refusal::Unusable(error.to_string()), news).await,
        }
    }

    async fn refuse(&self, name: &str, why: Refusal, news: &mut BTreeSet<(Arc<str>, Option<Refusal>)>) {
        let told = (Arc::from(name), Some(why.clone()));
        let known = self.told.contains(&told);
        if news.insert(told) && !known {
            self.tell(Finding::Refused { node: name.into(), why }).await;
        }
    }

    fn mark(&mut self, name: &str, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.iter_mut().find(|member| member.node.name == name) {
            change(member);
        }
    }

    fn epoch(&self) -> Epoch {
        self.shared.snapshot.load().topology.epoch()
    }

    fn primary_has_answered(&self) -> bool {
        self.shared.snapshot.load().topology.primary().is_ok_and(|primary| primary.sampled_at.is_some())
    }

    async fn tell(&self, finding: Finding) {
        self.send(Command::Tell(Notice::Discovery { source: Arc::clone(&self.source), finding })).await;
    }

    /// The worker may be gone; then so is this task, in a moment.
    async fn send(&self, command: Command) {
        drop(self.commands.send(command).await);
    }

    async fn command<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, NodeError>>) -> Command,
    ) -> Result<T, NodeError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(make(reply)).await.map_err(|_| NodeError::Closed)?;
        answer.await.map_err(|_| NodeError::Closed)?
    }
}

/// A found node, if it could stand in the configuration.
fn checked(
    node: Result<NodeConfig, crate::config::UrlError>,
    config: &Config,
) -> Result<NodeConfig, Refusal> {
    let node = node.map_err(|error| Refusal::Unusable(format!("its URL {error}")))?;
    let alone = Config { replicas: vec![node.clone()], allow_primary_as_replica: true, ..config.clone() };
    alone.validate().map_err(|errors| Refusal::Unusable(errors.to_string()))?;
    Ok(node)
}
