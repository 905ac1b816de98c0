//! From a wish to a running cluster.

use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures::future::try_join_all;
use rr_core::time::{Clock, Moment};

use super::account::Account;
use super::error::{ClusterError, Result};
use super::guardian::Guardian;
use super::knobs::setting_line;
use super::node::{Node, blocking};
use super::programs::Programs;
use super::{Cluster, Ground, language, template};

/// Room that a memory file system must have to be used: for the template and all WAL a primary keeps …
const ROOM: u64 = 1 << 30;
/// … and for each server.
const ROOM_PER_NODE: u64 = 1 << 29;

/// The name of the first server.
pub(crate) const PRIMARY: &str = "primary";

/// What cluster to boot; see [`Cluster::builder`].
#[derive(Clone, Debug, Default)]
#[must_use = "nothing boots before start()"]
pub struct Builder {
    /// Whom each replica follows, in order.
    replicas: Vec<String>,
    synchronous: Vec<String>,
    settings: Vec<(Option<String>, String)>,
    programs: Option<PathBuf>,
    own_identity: bool,
    durable: bool,
    pub(super) german: bool,
}

impl Builder {
    /// Adds `count` standbys of the primary, called `replica-1`, `replica-2`, and so on.
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas.extend(std::iter::repeat_n(String::from(PRIMARY), count));
        self
    }

    /// Adds one more standby, with the next number, which follows the standby `upstream`.
    pub fn cascaded_from(mut self, upstream: impl Into<String>) -> Self {
        self.replicas.push(upstream.into());
        self
    }

    /// Lets each commit on the primary wait until all these standbys have applied it (`remote_apply`). For other
    /// forms use [`node_setting`](Self::node_setting).
    pub fn synchronous<S: Into<String>>(mut self, standbys: impl IntoIterator<Item = S>) -> Self {
        self.synchronous.extend(standbys.into_iter().map(Into::into));
        self
    }

    /// Gives every server a setting; a later one wins.
    pub fn setting(mut self, setting: &str, value: &str) -> Self {
        self.settings.push((None, setting_line(setting, value)));
        self
    }

    /// Gives one server a setting; a later one wins.
    pub fn node_setting(mut self, node: impl Into<String>, setting: &str, value: &str) -> Self {
        self.settings.push((Some(node.into()), setting_line(setting, value)));
        self
    }

    /// Uses the server programs in this folder instead of those that [`Programs::find`] finds.
    pub fn programs(mut self, folder: impl Into<PathBuf>) -> Self {
        self.programs = Some(folder.into());
        self
    }

    /// Initialises the cluster from nothing, so that it has a system identifier of its own; others share the one of the
    /// template.
    pub const fn own_identity(mut self) -> Self {
        self.own_identity = true;
        self
    }

    /// Lets a commit wait until it is on the disk, as in production; the servers live in the folder for temporary files.
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self.setting("fsync", "on")
    }

    /// Boots the servers and waits until each accepts connections and all standbys stream.
    ///
    /// They live in the memory file system where it has room, else in the folder for temporary files; set
    /// `RR_TEST_CLUSTER_DIR` to have them elsewhere.
    ///
    /// # Errors
    /// When there are no server programs, a name is unknown, or a server does not come up.
    pub async fn start(self) -> Result<Cluster> {
        let clock = Clock::start();
        self.check_names()?;
        let upstreams = self.replicas.clone();
        let mut cluster = blocking(move || self.lay_out()).await?;
        cluster.primary().start().await?;
        // Level by level: a standby's slot is made on its running upstream.
        let mut waiting: Vec<usize> = (0..upstreams.len()).collect();
        while !waiting.is_empty() {
            let is_up = |index: &usize| cluster.node(&upstreams[*index]).is_ok_and(Node::is_running);
            let (ready, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_up);
            let starting = ready.into_iter().map(async |index| {
                let standby = cluster.replica(index + 1)?;
                standby.prepare_to_follow(cluster.node(&upstreams[index])?).await?;
                standby.start().await
            });
            try_join_all(starting).await?;
            waiting = later;
        }
        try_join_all(cluster.replicas().iter().map(Node::wait_streaming)).await?;
        cluster.boot_time = clock.now().since(Moment::ORIGIN);
        Ok(cluster)
    }

    fn names(&self) -> Vec<String> {
        let replicas = (1..=self.replicas.len()).map(|number| format!("replica-{number}"));
        std::iter::once(String::from(PRIMARY)).chain(replicas).collect()
    }

    /// Each upstream must come before its standby, which also rules out circles.
    fn check_names(&self) -> Result<()> {
        let known = self.names();
        let check = |name: &String, among: &[String]| {
            let unknown = || ClusterError::UnknownNode { name: name.clone(), known: among.to_vec() };
            among.contains(name).then_some(()).ok_or_else(unknown)
        };
        for (index, upstream) in self.replicas.iter().enumerate() {
            check(upstream, &known[..=index])?;
        }
        let named = self.settings.iter().filter_map(|(node, _)| node.as_ref());
        self.synchronous.iter().chain(named).try_for_each(|name| check(name, &known))
    }

    /// Everything before the first server starts: folder, guardian, network, data folders.
    fn lay_out(self) -> Result<Cluster> {
        let programs = self.programs.as_ref().map_or_else(Programs::find, Programs::at)?;
        let names = self.names();
        let base = base(names.len(), self.durable)?;
        let account = Account::choose(&programs, &base)?;
        let guardian = Guardian::watch(&account, &base)?;
        let folder = guardian.folder().to_path_buf();
        let network = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rr-network")
            .enable_all()
            .build()
            .map_err(ClusterError::io("cannot start the network's thread"))?;
        let template = template::template(&programs, &account, &base, &folder, self.own_identity)?;
        let german = self.german.then(|| language::german(&account, &folder)).transpose()?;
        let handle = network.handle().clone();
        let ground = Ground { folder, programs, account, template, network: handle, german };
        let ground = Arc::new(ground);
        let boot_time = Duration::ZERO;
        let mut cluster = Cluster { ground, guardian, network: Some(network), nodes: Vec::new(), boot_time };
        for name in &names {
            let node = Node::new(&cluster.ground, name.clone(), self.settings_of(name))?;
            cluster.nodes.push(node);
        }
        thread::scope(|scope| {
            let copies: Vec<_> = cluster.nodes.iter().map(|node| scope.spawn(|| node.lay_out())).collect();
            copies.into_iter().try_for_each(|copy| copy.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })?;
        Ok(cluster)
    }

    fn settings_of(&self, node: &str) -> String {
        let mut settings = String::new();
        if node == PRIMARY && !self.synchronous.is_empty() {
            let standbys: Vec<String> = self.synchronous.iter().map(|name| format!("\"{name}\"")).collect();
            let names = format!("FIRST {} ({})", standbys.len(), standbys.join(", "));
            settings.push_str(&setting_line("synchronous_standby_names", &names));
            settings.push_str(&setting_line("synchronous_commit", "remote_apply"));
        }
        let concerned = self.settings.iter().filter(|(of, _)| of.as_deref().is_none_or(|of| of == node));
        settings.extend(concerned.map(|(_, line)| line.as_str()));
        settings
    }
}

/// What `RR_TEST_CLUSTER_DIR` names, else a memory file system if there is one with enough room, else the folder
/// for temporary files.
fn base(nodes: usize, durable: bool) -> Result<PathBuf> {
    let memory = PathBuf::from("/dev/shm");
    let needed = ROOM + ROOM_PER_NODE * u64::try_from(nodes).unwrap_or(u64::MAX / ROOM);
    let base = match std::env::var_os("RR_TEST_CLUSTER_DIR") {
        Some(folder) => PathBuf::from(folder),
        None if !durable && has_room(&memory, needed) => memory,
        None => std::env::temp_dir(),
    };
    fs::canonicalize(&base).map_err(ClusterError::io(base.display().to_string()))
}

fn has_room(folder: &Path, needed: u64) -> bool {
    let free = rustix::fs::statvfs(folder).map(|room| room.f_bavail.saturating_mul(room.f_frsize));
    free.is_ok_and(|free| free >= needed) && rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}
