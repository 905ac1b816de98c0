//! What a test does to a running server.

use std::time::Duration;

use rustix::process::Signal;

use super::error::{ClusterError, Result};
use super::node::{Node, PATIENCE, Upstream, blocking};
use super::processes::Part;
use super::{Ground, guardian, template};
use crate::proxy::Proxy;
use crate::wait::wait_until;

impl Node {
    /// Stops the replay of WAL on a standby while it goes on receiving, and waits until it has stopped.
    ///
    /// # Errors
    /// When the server is no standby or does not answer.
    pub async fn pause_replay(&self) -> Result<()> {
        let client = self.admin().await?;
        client.batch_execute("SELECT pg_wal_replay_pause()").await.map_err(self.sql_error())?;
        let paused = async || {
            let state = self.text(&client, "SELECT pg_get_wal_replay_pause_state()").await?;
            Ok::<_, ClusterError>(state == "paused")
        };
        Ok(wait_until(PATIENCE, "replay to pause", paused).await?)
    }

    /// Lets replay go on.
    ///
    /// # Errors
    /// When the server is no standby or does not answer.
    pub async fn resume_replay(&self) -> Result<()> {
        self.admin_sql("SELECT pg_wal_replay_resume()").await
    }

    /// Holds back each commit on this standby until it is `delay` old; zero ends that.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn apply_delay(&self, delay: Duration) -> Result<()> {
        self.set("recovery_min_apply_delay", &format!("{}ms", delay.as_millis())).await
    }

    /// Changes a setting (`ALTER SYSTEM`, then a reload) and waits until new sessions see it. It survives
    /// restarts of this server. Settings that need a restart are written and take effect with it.
    ///
    /// # Errors
    /// When the server refuses it or does not answer.
    pub async fn set(&self, setting: &str, value: &str) -> Result<()> {
        let client = self.admin().await?;
        let set = format!("ALTER SYSTEM SET {setting} = {}", literal(value));
        client.batch_execute(&set).await.map_err(self.sql_error())?;
        self.reload().await
    }

    /// Reloads the configuration and waits until new sessions have it.
    async fn reload(&self) -> Result<()> {
        // The loading time of a session is the postmaster's: that of the files it has last read.
        let loaded = async || self.admin_query_text("SELECT pg_conf_load_time()").await;
        let before = loaded().await?;
        self.admin_sql("SELECT pg_reload_conf()").await?;
        let changed = async || Ok::<_, ClusterError>(loaded().await? != before);
        Ok(wait_until(PATIENCE, "the reload of the configuration", changed).await?)
    }

    /// Stops a part of the server with SIGSTOP: its kernel sockets live on. Says how many processes it stopped.
    ///
    /// # Errors
    /// When the server is not running.
    pub fn sigstop(&self, part: Part) -> Result<usize> {
        self.signal(part, Signal::STOP)
    }

    /// Lets a stopped part go on. Says how many processes it told.
    ///
    /// # Errors
    /// When the server is not running.
    pub fn sigcont(&self, part: Part) -> Result<usize> {
        self.signal(part, Signal::CONT)
    }

    /// Ends all client sessions from the server's side, as an administrator would (error 57P01). Says how
    /// many there were. Those of WAL senders stay.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn kill_client_connections(&self) -> Result<usize> {
        let count = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let count = self.admin_query_text(count).await?;
        count.parse().map_err(|_| ClusterError::NoValue { node: String::from(self.name()), sql: count })
    }

    /// Makes this standby a primary and waits until it is writable. Its standbys follow it on their own; its
    /// siblings must be [re-pointed](Self::repoint).
    ///
    /// # Errors
    /// When it is no standby or does not become writable in time.
    pub async fn promote(&self) -> Result<()> {
        self.admin_sql("SELECT pg_promote()").await?;
        self.wait_writable().await
    }

    pub(super) async fn wait_writable(&self) -> Result<()> {
        let writable =
            async || Ok::<_, ClusterError>(self.admin_query_text("SELECT pg_is_in_recovery()").await? == "f");
        wait_until(PATIENCE, "the promotion", writable).await?;
        self.set_upstream(None);
        Ok(())
    }

    /// Lets this running standby follow another server, through a new link, and waits until it streams.
    ///
    /// # Errors
    /// When it is no standby or does not stream in time.
    pub async fn repoint(&self, upstream: &Self) -> Result<()> {
        let link = self.link_to(upstream).await?;
        let client = self.admin().await?;
        for (setting, value) in self.follow_settings(&link) {
            let set = format!("ALTER SYSTEM SET {setting} = {}", literal(&value));
            client.batch_execute(&set).await.map_err(self.sql_error())?;
        }
        self.reload().await?;
        self.set_upstream(Some(Upstream { node: upstream.clone(), link }));
        self.wait_streaming().await
    }

    /// Somebody else has pointed this running standby to another server, by its
    /// [`replication_link`](Self::replication_link): waits until it streams from there.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn repointed(&self, upstream: &Self) -> Result<()> {
        let link = upstream.replication_link().clone();
        self.set_upstream(Some(Upstream { node: upstream.clone(), link }));
        self.wait_streaming().await
    }

    /// Runs a script as the owner of this stopped server's data folder, with that folder and these arguments, and the server
    /// programs in its PATH; what it said.
    ///
    /// # Errors
    /// When the server is running, or the script fails.
    pub async fn run_script(&self, script: &str, arguments: &[&str]) -> Result<String> {
        if self.is_running() {
            return Err(ClusterError::Running { node: String::from(self.name()) });
        }
        let node = self.clone();
        let script = String::from(script);
        let arguments: Vec<String> = arguments.iter().map(|argument| String::from(*argument)).collect();
        blocking(move || {
            let Ground { account, programs, .. } = &*node.shared.ground;
            guardian::end_leftovers(account, &node.shared.data)?;
            let inner = "PATH=$1:$PATH; export PATH; shift; exec /bin/sh -s \"$@\"";
            let folders = [programs.program(""), node.shared.data.clone()];
            let mut command = account.shell(inner, folders);
            command.args(arguments).current_dir(&node.shared.data);
            template::run(&mut command, &script)
        })
        .await
    }

    /// Throws away the data of this stopped server and lets it follow `upstream` as a new standby: how a failed
    /// primary comes back. It starts from the cluster's beginning and replays all WAL there ever was, which the
    /// upstream keeps up to a gigabyte.
    ///
    /// # Errors
    /// When it is running or does not stream in time.
    pub async fn rebuild(&self, upstream: &Self) -> Result<()> {
        if self.is_running() {
            return Err(ClusterError::Running { node: String::from(self.name()) });
        }
        let node = self.clone();
        blocking(move || {
            let data = &node.shared.data;
            guardian::end_leftovers(&node.shared.ground.account, data)?;
            std::fs::remove_dir_all(data).map_err(ClusterError::io(data.display().to_string()))?;
            node.lay_out()
        })
        .await?;
        self.prepare_to_follow(upstream).await?;
        self.start().await?;
        self.wait_streaming().await
    }

    /// Makes the data folder: a copy of the template with this server's settings.
    pub(crate) fn lay_out(&self) -> Result<()> {
        let (ground, data) = (&self.shared.ground, &self.shared.data);
        template::copy(&ground.account, &ground.template, data, &self.shared.settings)
    }

    /// Makes a laid-out data folder that of a standby.
    pub(crate) async fn prepare_to_follow(&self, upstream: &Self) -> Result<()> {
        let link = self.link_to(upstream).await?;
        let lines =
            self.follow_settings(&link).map(|(setting, value)| setting_line(setting, &value)).concat();
        let node = self.clone();
        let make = move || template::make_standby(&node.shared.ground.account, &node.shared.data, &lines);
        blocking(make).await?;
        self.set_upstream(Some(Upstream { node: upstream.clone(), link }));
        Ok(())
    }

    /// A link to the upstream, and a slot on it, so that the upstream keeps WAL while we are away.
    async fn link_to(&self, upstream: &Self) -> Result<Proxy> {
        let slot = literal(&self.slot());
        let client = upstream.admin().await?;
        let create = format!(
            "SELECT pg_create_physical_replication_slot({slot}, true) \
             WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {slot})"
        );
        client.batch_execute(&create).await.map_err(upstream.sql_error())?;
        let link = Proxy::start(&self.shared.ground.network, upstream.origin());
        let link = link.map_err(ClusterError::io("cannot reserve a free port"))?;
        link.settle().await?;
        Ok(link)
    }

    fn follow_settings(&self, link: &Proxy) -> [(&'static str, String); 2] {
        let (name, port) = (self.name(), link.port());
        let conninfo = format!("host=127.0.0.1 port={port} user=postgres application_name={name}");
        [("primary_conninfo", conninfo), ("primary_slot_name", self.slot())]
    }

    /// Slot names have no hyphens.
    fn slot(&self) -> String {
        self.name().replace('-', "_")
    }

    /// Waits until this standby receives WAL through its present link.
    ///
    /// # Errors
    /// When it is no standby or does not stream in time.
    pub async fn wait_streaming(&self) -> Result<()> {
        let upstream = self.upstream();
        let upstream =
            upstream.ok_or_else(|| ClusterError::NoUpstream { node: String::from(self.name()) })?;
        let port = upstream.link.port();
        let receiving = format!(
            "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming' AND sender_port = {port}"
        );
        let sending = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = {} AND state = 'streaming'",
            literal(self.name())
        );
        let what = format!("{} to stream from {}", self.name(), upstream.node.name());
        let streaming = async || {
            let received = self.admin_query_text(&receiving).await? != "0";
            Ok::<_, ClusterError>(received && upstream.node.admin_query_text(&sending).await? != "0")
        };
        Ok(wait_until(PATIENCE, &what, streaming).await?)
    }
}

fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A line of a configuration file, whose strings know backslashes.
pub(crate) fn setting_line(setting: &str, value: &str) -> String {
    format!("{setting} = {}\n", literal(&value.replace('\\', "\\\\")))
}
