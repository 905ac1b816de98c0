//! Servers as `deploy/postgres/` sets them up: its settings, its roles, its `pg_hba.conf`, and standbys by its script.

use std::time::Duration;

use rr_core::Config;

use crate::cluster::{self, Cluster, Mode, Node};
use crate::tls::{Authority, parameter};
use crate::wait::until;

/// `primary.conf`.
pub const SETTINGS: &str = include_str!("../../deploy/postgres/primary.conf");
/// `pg_hba.conf`.
pub const ACCESS: &str = include_str!("../../deploy/postgres/pg_hba.conf");
const SCRIPT: &str = include_str!("../../deploy/postgres/replica.sh");
const ROLES: &str = include_str!("../../deploy/postgres/roles.sql");

/// On a standby it gives one row: whether this connection is encrypted. On the primary it gives none.
pub const ENCRYPTED_STANDBY: &str = "SELECT encrypted FROM standby";

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// `pg_hba.conf` with our network in it.
///
/// # Panics
/// When the example is another one.
#[must_use]
pub fn access() -> String {
    let access = ACCESS.replace("10.0.0.0/16 ", "127.0.0.1/32");
    assert_eq!(access.matches("127.0.0.1/32").count(), 5, "what the example has");
    access
}

/// Restarts a server with these settings and rules. Two things are the harness's: it listens on loopback, and its own superuser
/// gets in.
///
/// # Errors
/// When the server does not take them.
pub async fn provide(primary: &Node, settings: &str, access: &str) -> Result {
    let script = format!(
        "cat >>postgresql.conf <<'END'\n{settings}\nlisten_addresses = '127.0.0.1'\nEND\n\
         cat >pg_hba.conf <<'END'\nhost all postgres 127.0.0.1/32 trust\n{access}END\n"
    );
    primary.stop(Mode::Fast).await?;
    primary.run_script(&script, &[]).await?;
    Ok(primary.start().await?)
}

/// Makes the roles twice, from the machine of a stopped server, and gives them passwords: `of the shop` and `of the log`.
///
/// # Errors
/// When that is refused.
pub async fn make_roles(primary: &Node, from: &Node) -> Result {
    let script = format!("psql -X -v ON_ERROR_STOP=1 -d \"$2\" <<'END'\n{ROLES}\nEND\n");
    let connect = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", primary.port());
    for _ in 0..2 {
        from.run_script(&script, &[&connect]).await?;
    }
    let passwords = "ALTER ROLE shop PASSWORD 'of the shop'; ALTER ROLE replicator PASSWORD 'of the log'";
    Ok(primary.admin_sql(passwords).await?)
}

/// Runs the script as the owner of a stopped server's folder, which the harness would name by itself.
///
/// # Errors
/// When it refuses.
pub async fn replica(node: &Node, arguments: &[&str]) -> cluster::Result<String> {
    node.run_script(&format!("shift\n{SCRIPT}"), arguments).await
}

/// What it said when it refused.
///
/// # Errors
/// When it did not.
pub async fn refused(node: &Node, arguments: &[&str]) -> Result<String> {
    match replica(node, arguments).await {
        Ok(said) => Err(format!("it was not refused: {said}").into()),
        Err(error) => Ok(error.to_string()),
    }
}

/// A primary, and two standbys that it calls `db-2` and `db-3`. Connections are encrypted as the rules demand, and the table
/// `note (text)` belongs to the owner of the database, as does [the view](ENCRYPTED_STANDBY).
#[derive(Debug)]
pub struct Provided {
    /// The servers.
    pub cluster: Cluster,
    authority: Authority,
}

impl Provided {
    /// Boots them.
    ///
    /// # Errors
    /// When something of what is provided does not do what it says.
    pub async fn start() -> Result<Self> {
        let cluster = Cluster::builder().replicas(2).start().await?;
        let authority = Authority::new("ours")?;
        authority.equip(&cluster).await?;
        let servers = Self { cluster, authority };
        let primary = servers.cluster.primary();
        for standby in servers.cluster.replicas() {
            standby.stop(Mode::Fast).await?;
        }
        provide(primary, SETTINGS, &access()).await?;
        make_roles(primary, servers.cluster.replica(1)?).await?;
        for (standby, name) in servers.cluster.replicas().iter().zip(["db-2", "db-3"]) {
            standby.run_script("find . -mindepth 1 -delete", &[]).await?;
            let conninfo = servers.conninfo(standby, &servers.authority, "127.0.0.1", "verify-full").await?;
            replica(standby, &[&servers.folder(standby)?, &conninfo, name]).await?;
            standby.start().await?;
        }
        let connect = format!("host=127.0.0.1 port={} user=postgres dbname=shop", primary.port());
        let (owner, connection) = tokio_postgres::connect(&connect, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let owned = "SET ROLE shop_owner; CREATE TABLE note (text text NOT NULL); \
                     CREATE VIEW standby AS SELECT ssl AS encrypted FROM pg_stat_ssl \
                     WHERE pid = pg_backend_pid() AND pg_is_in_recovery()";
        owner.batch_execute(owned).await?;
        servers.streaming("async").await?;
        Ok(servers)
    }

    /// How the log is to be had, for a standby that trusts this authority. The files are laid beside its folder.
    ///
    /// # Errors
    /// When the standby runs.
    pub async fn conninfo(
        &self,
        standby: &Node,
        authority: &Authority,
        host: &str,
        mode: &str,
    ) -> Result<String> {
        let folder = self.folder(standby)?;
        let root = std::fs::read_to_string(authority.root())?;
        let files =
            format!("umask 077; echo '*:*:*:*:of the log' >\"$2.pass\"; printf '%s' '{root}' >\"$2.crt\"");
        standby.run_script(&files, &[&folder]).await?;
        let port = self.cluster.primary().replication_link().port();
        Ok(format!(
            "host={host} port={port} user=replicator passfile={folder}.pass sslmode={mode} sslrootcert={folder}.crt"
        ))
    }

    /// A server's data folder.
    ///
    /// # Errors
    /// When its path is no text.
    pub fn folder(&self, node: &Node) -> Result<String> {
        let folder = self.cluster.folder().join(node.name());
        Ok(folder.to_str().ok_or("a path in UTF-8")?.to_owned())
    }

    /// Waits until both standbys have this state for the primary, and get the log encrypted.
    ///
    /// # Errors
    /// When they do not.
    pub async fn streaming(&self, state: &str) -> Result {
        let standbys = format!(
            "SELECT coalesce(string_agg(application_name, ' ' ORDER BY application_name), '') \
             FROM pg_stat_replication JOIN pg_stat_ssl USING (pid) \
             WHERE ssl AND state = 'streaming' AND sync_state = '{state}'"
        );
        let primary = self.cluster.primary();
        let both = async || Ok(primary.admin_query_text(&standbys).await? == "db-2 db-3");
        until("both standbys to stream", both).await
    }

    /// Sets what `primary.conf` has for those who want to lose nothing, with `remote_apply`.
    ///
    /// # Errors
    /// When the primary does not take it, or a standby does not come back.
    pub async fn synchronous(&self) -> Result {
        let lines = SETTINGS.lines().filter_map(|line| line.strip_prefix('#'));
        let lines = lines.filter(|line| line.starts_with("synchronous_"));
        let chosen = lines.collect::<Vec<_>>().join("\n").replace("= on  ", "= remote_apply");
        assert!(chosen.contains("remote_apply ") && chosen.contains("ANY 1"), "{chosen}");
        provide(self.cluster.primary(), &chosen, &access()).await?;
        self.streaming("quorum").await
    }

    /// The URL of the application's role, with these parameters.
    #[must_use]
    pub fn url(&self, node: &Node, parameters: &str) -> String {
        format!("postgres://shop:of%20the%20shop@127.0.0.1:{}/shop?{parameters}", node.link().port())
    }

    /// A router's settings for all three, with these parameters in their URLs, and no patience with a primary that refuses us.
    ///
    /// # Errors
    /// When they are not valid.
    pub fn config(&self, parameters: &str) -> Result<Config> {
        let primary = self.url(self.cluster.primary(), parameters);
        let config = Config::builder().primary(primary).write_wait(Duration::ZERO);
        let replicas = self.cluster.replicas().iter().map(|standby| self.url(standby, parameters));
        Ok(replicas.fold(config, |config, url| config.replica(url)).build()?)
    }

    /// Parameters of a URL whose server is believed only if our authority has signed for it.
    #[must_use]
    pub fn verified(&self) -> String {
        format!("sslmode=verify-full{}", parameter("sslrootcert", &self.authority.root()))
    }

    /// The authority.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }
}
