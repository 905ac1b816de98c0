//! Proxies from the system's packages, in a temporary folder, on free ports of loopback, gone with the benchmark.

mod installed;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use rr_tests::cluster::Node;
use rr_tests::guarded::{Ending, Guarded};
use rr_tests::wait::wait_for;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use self::installed::installed;
use crate::Error;
use crate::servers::PATIENCE;

/// Sessions that a proxy serves at once; more than any load here has.
const SESSIONS: usize = 16;

/// The ordinary role, and its database.
const USER: &str = "app";

/// A running proxy.
pub(crate) struct Proxy {
    port: u16,
    folder: TempDir,
    process: Guarded,
}

/// A program of a package.
pub(crate) struct Program {
    path: PathBuf,
    /// Where the libraries are that were unpacked with it.
    libraries: Option<PathBuf>,
}

impl Program {
    /// What is on the `PATH` or where packages put it, else what `scripts/setup.sh proxies` has unpacked.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let (path, libraries) = installed(name)?;
        Some(Self { path, libraries })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// The first line of what it says of its version.
    pub(crate) async fn version(&self) -> Result<String, Error> {
        let said = self.command().arg("--version").output().await?;
        let text = [said.stdout, said.stderr].concat();
        Ok(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned())
    }

    /// One pool of sessions to one server: what a proxy costs that routes nothing.
    pub(crate) async fn bouncer(&self, server: &Node) -> Result<Proxy, Error> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let config = format!(
            "[databases]\n* = user={USER} host=127.0.0.1 port={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = session\ndefault_pool_size = {SESSIONS}\nignore_startup_parameters = extra_float_digits\n",
            server.port()
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, config)?;
        let mut command = self.command();
        if rustix::process::geteuid().is_root() {
            // It refuses to be root, and its configuration holds no secret.
            readable(folder.path())?;
            command.args(["-u", "nobody"]);
        }
        command.arg(&file);
        started(command, folder, port).await
    }

    /// Splits reads from writes, and sends each read to one of the servers.
    pub(crate) async fn pgpool(&self, nodes: &[Node], settings: &str) -> Result<Proxy, Error> {
        let (folder, port, control) = (tempfile::tempdir()?, free_port()?, free_port()?);
        let at = folder.path().display();
        let mut config = format!(
            "backend_clustering_mode = 'streaming_replication'\nlisten_addresses = '127.0.0.1'\nport = {port}\n\
             socket_dir = '{at}'\npcp_listen_addresses = '127.0.0.1'\npcp_port = {control}\npcp_socket_dir = '{at}'\n\
             pid_file_name = '{at}/pgpool.pid'\nlogdir = '{at}'\nwork_dir = '{at}'\n\
             num_init_children = {SESSIONS}\nmax_pool = 1\nconnection_cache = on\nenable_pool_hba = off\n\
             load_balance_mode = on\nsr_check_period = 1\nsr_check_user = '{USER}'\nsr_check_database = '{USER}'\n\
             health_check_period = 0\nuse_watchdog = off\nmemory_cache_enabled = off\nlog_min_messages = warning\n{settings}\n"
        );
        for (n, node) in nodes.iter().enumerate() {
            // As rr does by default, and the hand-written two pools: the primary serves no balanced reads.
            let weight = usize::from(n > 0);
            config += &format!(
                "backend_hostname{n} = '127.0.0.1'\nbackend_port{n} = {}\nbackend_weight{n} = {weight}\n\
                 backend_flag{n} = 'DISALLOW_TO_FAILOVER'\n",
                node.port()
            );
        }
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("pgpool.conf"), config)?;
        for empty in ["pcp.conf", "pool_hba.conf", "pool_passwd"] {
            std::fs::write(file(empty), "")?;
        }
        let mut command = self.command();
        command.arg("-n").arg("-f").arg(file("pgpool.conf"));
        command.arg("-F").arg(file("pcp.conf")).arg("-a").arg(file("pool_hba.conf"));
        started(command, folder, port).await
    }
}

impl Proxy {
    /// The URL of a server, through this proxy.
    pub(crate) fn url_of(&self, node: &Node) -> String {
        node.direct_url().replace(&format!(":{}/", node.port()), &format!(":{}/", self.port))
    }

    /// Ends it. Whoever uses it must have gone: pgpool waits for its clients.
    pub(crate) async fn end(self) -> Result<(), Error> {
        Ok(tokio::time::timeout(PATIENCE, self.process.end()).await??)
    }

    /// What it has logged, for when it does not do what it should.
    pub(crate) fn log(&self) -> String {
        log(self.folder.path())
    }
}

fn log(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(10).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

async fn started(mut command: Command, folder: TempDir, port: u16) -> Result<Proxy, Error> {
    let log_file = std::fs::File::create(folder.path().join("log"))?;
    command
        .current_dir(folder.path())
        .stdout(Stdio::from(log_file.try_clone()?))
        .stderr(Stdio::from(log_file));
    let process = Guarded::start(command, Ending::AskedAndRemoved(folder.path()))?;
    let listening = async || Ok::<_, Error>(TcpStream::connect(("127.0.0.1", port)).await.ok());
    match wait_for(PATIENCE, "the proxy to listen", listening).await {
        Ok(_) => Ok(Proxy { port, folder, process }),
        Err(error) => Err(format!("{error}; it said:\n{}", log(folder.path())).into()),
    }
}

/// A port that was free a moment ago; a program that cannot have it any more says so.
fn free_port() -> Result<u16, Error> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn readable(folder: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?)
}
