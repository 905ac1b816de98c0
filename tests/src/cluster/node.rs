//! One server: its process and its links.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::watch;

use super::Ground;
use super::error::{ClusterError, Result};
use super::guardian;
use super::language::speak_german;
use super::processes::{self, Part};
use crate::proxy::{Proxy, ReservedPort};
use crate::wait::wait_until;

/// For whatever a healthy server does within a second; generous, as test machines are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// One look at a server that is starting.
const LOOK: Duration = Duration::from_secs(2);
/// Ports to try before giving up.
const PORTS: usize = 10;

/// How to shut down a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Ends the sessions, lets the standbys have all WAL, writes a checkpoint.
    Fast,
    /// Ends at once; the next start recovers.
    Immediate,
}

/// One server of a cluster, running or not. A cheap handle.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: String,
    /// Lines for its configuration file.
    pub(crate) settings: String,
    pub(crate) ground: Arc<Ground>,
    pub(crate) data: PathBuf,
    log: PathBuf,
    origin: watch::Sender<Option<u16>>,
    link: Proxy,
    replication_link: Proxy,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    port: ReservedPort,
    postmaster: Option<Child>,
    /// Its postmaster was killed, so backends may be left.
    leftovers: bool,
    upstream: Option<Upstream>,
}

/// Whom a standby follows, and the link to it.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) node: Node,
    pub(crate) link: Proxy,
}

enum Attempt {
    Ready,
    PortTaken,
}

impl Node {
    pub(crate) fn new(ground: &Arc<Ground>, name: String, settings: String) -> Result<Self> {
        let describe = || ClusterError::io("cannot reserve a free port");
        let port = ReservedPort::reserve().map_err(describe())?;
        let (origin, listening) = watch::channel(None);
        let link = Proxy::start(&ground.network, listening.clone()).map_err(describe())?;
        let replication_link = Proxy::start(&ground.network, listening).map_err(describe())?;
        let (data, log) = (ground.folder.join(&name), ground.folder.join(format!("{name}.log")));
        let state = Mutex::new(State { port, postmaster: None, leftovers: false, upstream: None });
        let ground = Arc::clone(ground);
        Ok(Self {
            shared: Arc::new(Shared {
                name,
                settings,
                ground,
                data,
                log,
                origin,
                link,
                replication_link,
                state,
            }),
        })
    }

    /// The name it was given: `primary`, `replica-1`, …; it keeps it through promotions.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The server's own port, past the proxy.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.state().port.number()
    }

    /// The network between clients and this server.
    #[must_use]
    pub fn link(&self) -> &Proxy {
        &self.shared.link
    }

    /// The network by which other servers reach this one when somebody else than the harness points them to it: that somebody
    /// needs one address, and not one for each of them.
    #[must_use]
    pub fn replication_link(&self) -> &Proxy {
        &self.shared.replication_link
    }

    /// The network between this standby and the server it follows; `None` on a primary.
    #[must_use]
    pub fn upstream_link(&self) -> Option<Proxy> {
        self.upstream().map(|upstream| upstream.link)
    }

    /// Whether its postmaster runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state().postmaster.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// All of the server's log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.shared.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// The end of the server's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log())
    }

    /// Starts the server and waits until it accepts connections. Its [`link`](Self::link) and the links of its
    /// standbys lead to it again.
    ///
    /// # Errors
    /// When it is running or does not come up; the error shows the end of its log.
    pub async fn start(&self) -> Result<()> {
        if self.is_running() {
            return Err(ClusterError::Running { node: self.shared.name.clone() });
        }
        if std::mem::take(&mut self.state().leftovers) {
            let shared = Arc::clone(&self.shared);
            blocking(move || guardian::end_leftovers(&shared.ground.account, &shared.data)).await?;
        }
        for _ in 0..PORTS {
            match self.attempt_to_start().await? {
                Attempt::Ready => {
                    self.shared.origin.send_replace(Some(self.port()));
                    self.shared.replication_link.settle().await?;
                    return Ok(self.shared.link.settle().await?);
                }
                Attempt::PortTaken => {
                    let port = ReservedPort::reserve().map_err(ClusterError::io("cannot reserve a port"))?;
                    self.state().port = port;
                }
            }
        }
        Err(ClusterError::NoFreePort { node: self.shared.name.clone() })
    }

    async fn attempt_to_start(&self) -> Result<Attempt> {
        let log_before = self.log().len();
        self.spawn()?;
        let connecting = async || {
            if let Some(status) = self.ended() {
                return Ok::<_, ClusterError>(Some(Err(status)));
            }
            // Another process may have taken the port: then it is silent, or this is not our folder.
            let looking = self.admin_query_text("SHOW data_directory");
            let ours = match tokio::time::timeout(LOOK, looking).await {
                Ok(folder) => self.shared.data == *folder?,
                Err(_) => false,
            };
            Ok(ours.then_some(Ok(())))
        };
        match crate::wait::wait_for(PATIENCE, "the first connection", connecting).await {
            Ok(Ok(())) => Ok(Attempt::Ready),
            Ok(Err(status)) => {
                let log = self.log();
                let log = log.get(log_before..).unwrap_or_default();
                if log.contains("could not bind") {
                    return Ok(Attempt::PortTaken);
                }
                Err(ClusterError::StartFailed { node: self.shared.name.clone(), status, log: tail(log) })
            }
            Err(_) => Err(ClusterError::NotReady {
                node: self.shared.name.clone(),
                within: PATIENCE,
                log: self.log_tail(),
            }),
        }
    }

    fn spawn(&self) -> Result<()> {
        let Shared { name, ground, data, log, .. } = &*self.shared;
        let describe = || ClusterError::io(format!("cannot start {name}"));
        let mut state = self.state();
        state.port.lend();
        let script = "log=$1; shift; exec \"$@\" 2>>\"$log\"";
        let mut command = ground.account.shell(script, [log, &ground.programs.program("postgres")]);
        command.arg("-D").arg(data).arg("-p").arg(state.port.number().to_string());
        command.arg("-c").arg(format!("cluster_name={name}"));
        if let Some(locales) = &ground.german {
            speak_german(&mut command, locales.as_deref());
        }
        // The guardian knows the server by this folder even before it has gone there by itself.
        command.current_dir(data).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        state.postmaster = Some(command.spawn().map_err(describe())?);
        Ok(())
    }

    /// Shuts the server down and waits until it is gone. Its links refuse connections from now on.
    ///
    /// # Errors
    /// When it is not running, or still there after thirty seconds.
    pub async fn stop(&self, mode: Mode) -> Result<()> {
        let signal = match mode {
            Mode::Fast => Signal::INT,
            Mode::Immediate => Signal::QUIT,
        };
        self.signal(Part::Postmaster, signal)?;
        // A stopped process hears nothing else. One that was not may have ended by now.
        match self.signal(Part::Everything, Signal::CONT) {
            Ok(_) | Err(ClusterError::NotRunning { .. }) => {}
            Err(error) => return Err(error),
        }
        self.gone(&format!("{} to shut down", self.shared.name)).await
    }

    /// Kills the postmaster with `kill -9`. Its port refuses connections, and idle sessions end by themselves a moment
    /// later, until when they answer: this waits for that. A busy backend lives on until its statement ends, and may even
    /// commit.
    ///
    /// # Errors
    /// When it is not running, or idle sessions do not end, as those that were stopped.
    pub async fn kill9(&self) -> Result<()> {
        let list = ClusterError::io("cannot list processes");
        let idle = self.postmaster().map(processes::idle_sessions).transpose().map_err(list)?;
        self.state().leftovers = true;
        self.signal(Part::Postmaster, Signal::KILL)?;
        self.gone(&format!("{} to be killed", self.shared.name)).await?;
        let ended = async || processes::any_idle(&idle.clone().unwrap_or_default()).map(|any| !any);
        Ok(wait_until(PATIENCE, &format!("the idle sessions of {} to end", self.shared.name), ended).await?)
    }

    /// Kills the postmaster and all its children with `kill -9`, as if the machine had failed.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn crash(&self) -> Result<()> {
        self.state().leftovers = true;
        self.signal(Part::Everything, Signal::KILL)?;
        self.gone(&format!("{} to be killed", self.shared.name)).await
    }

    /// [`stop`](Self::stop) (fast) and [`start`](Self::start).
    ///
    /// # Errors
    /// As these two.
    pub async fn restart(&self) -> Result<()> {
        self.stop(Mode::Fast).await?;
        self.start().await
    }

    /// Sends a signal to a part of the running server, and says how many processes got it.
    pub(crate) fn signal(&self, part: Part, signal: Signal) -> Result<usize> {
        let pid = self.postmaster();
        let pid = pid.ok_or_else(|| ClusterError::NotRunning { node: self.shared.name.clone() })?;
        processes::signal(pid, part, signal).map_err(ClusterError::io("cannot list processes"))
    }

    fn postmaster(&self) -> Option<u32> {
        // Once waited for, its number may be another process's.
        let running = self.is_running();
        self.state().postmaster.as_ref().filter(|_| running).map(Child::id)
    }

    /// Waits until the postmaster has ended and takes its port back.
    async fn gone(&self, what: &str) -> Result<()> {
        self.shared.origin.send_replace(None);
        wait_until(PATIENCE, what, async || Ok::<_, ClusterError>(self.ended().is_some())).await?;
        self.state().postmaster = None;
        // Should another process have got it, the next start takes a new one.
        let _next_start_decides = self.state().port.hold();
        self.shared.replication_link.settle().await?;
        Ok(self.shared.link.settle().await?)
    }

    fn ended(&self) -> Option<ExitStatus> {
        self.state().postmaster.as_mut()?.try_wait().ok()?
    }

    pub(crate) fn upstream(&self) -> Option<Upstream> {
        self.state().upstream.clone()
    }

    pub(crate) fn set_upstream(&self, upstream: Option<Upstream>) {
        self.state().upstream = upstream;
    }

    pub(crate) fn origin(&self) -> crate::proxy::Origin {
        self.shared.origin.subscribe()
    }

    /// Waits for a postmaster whose end the guardian has brought, so that no zombie stays.
    pub(crate) fn reap(&self) {
        if let Some(mut child) = self.state().postmaster.take() {
            // Should somebody have killed the guardian, at least we do not wait for ever.
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last lines, enough to see why a server did not start.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let stopped = |error| ClusterError::Io {
        what: String::from("blocking work did not finish"),
        source: std::io::Error::other(error),
    };
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}
