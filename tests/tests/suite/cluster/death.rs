//! Nothing outlives the owner of a cluster.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rr_tests::cluster::{Cluster, ClusterError, Part, Result};
use rr_tests::wait::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::{Client, NoTls};

use super::{SOON, cluster_with_table, is_alive};

/// The server processes of a cluster and its folder.
struct Remains {
    folder: PathBuf,
    processes: Vec<Pid>,
}

impl Remains {
    async fn of(folder: &Path, admin_urls: &[String]) -> Self {
        let mut processes = Vec::new();
        for url in admin_urls {
            let client = connect(url).await;
            let rows = client.query("SELECT pid FROM pg_stat_activity", &[]).await.unwrap();
            processes.extend(rows.iter().filter_map(|row| Pid::from_raw(row.get(0))));
        }
        for entry in std::fs::read_dir(folder).unwrap() {
            if let Ok(file) = std::fs::read_to_string(entry.unwrap().path().join("postmaster.pid")) {
                processes.extend(Pid::from_raw(file.lines().next().unwrap().parse().unwrap()));
            }
        }
        assert!(processes.len() > 4 * admin_urls.len(), "{processes:?}");
        Self { folder: folder.to_path_buf(), processes }
    }

    async fn of_cluster(cluster: &Cluster) -> Self {
        let urls: Vec<String> = cluster.nodes().iter().map(|node| node.admin_url()).collect();
        Self::of(cluster.folder(), &urls).await
    }

    fn none_left(&self) -> bool {
        !self.folder.exists() && !self.processes.iter().any(|pid| is_alive(*pid))
    }

    async fn vanish(&self) -> Result<()> {
        let vanished = async || Ok::<_, ClusterError>(self.none_left());
        Ok(wait_until(SOON, "servers and folder to vanish", vanished).await?)
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(async { drop(connection.await) });
    client
}

/// `rr-cluster`, which has printed where it is.
struct Owner {
    process: Child,
    folder: PathBuf,
    urls: Vec<String>,
}

impl Owner {
    fn new() -> Self {
        Self::boot(&mut Command::new(env!("CARGO_BIN_EXE_rr-cluster")))
    }

    fn boot(command: &mut Command) -> Self {
        let mut process = command.args(["--replicas", "1"]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (mut folder, mut urls) = (PathBuf::new(), Vec::new());
        for line in lines.map_while(std::result::Result::ok) {
            match line.split_once(": ") {
                Some(("folder", path)) => folder = PathBuf::from(path),
                Some((_, url)) => urls.push(String::from(url)),
                None if line.starts_with("Ctrl-C") => break,
                None => {}
            }
        }
        assert_eq!(urls.len(), 2);
        Self { process, folder, urls }
    }

    async fn remains(&self) -> Remains {
        let admin = self.urls.iter().map(|url| url.replace("app@", "postgres@").replace("/app", "/postgres"));
        Remains::of(&self.folder, &admin.collect::<Vec<_>>()).await
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }
}

#[tokio::test]
async fn drop_leaves_nothing() -> Result<()> {
    let cluster = cluster_with_table(1).await?;
    let remains = Remains::of_cluster(&cluster).await;
    drop(cluster);
    assert!(remains.none_left(), "left after the drop");
    Ok(())
}

#[tokio::test]
async fn drop_spares_who_looks_around_in_the_folder() -> Result<()> {
    let cluster = cluster_with_table(0).await?;
    let mut visitor = Command::new("sleep").arg("600").current_dir(cluster.folder()).spawn().unwrap();
    drop(cluster);
    let spared = visitor.try_wait().unwrap().is_none();
    visitor.kill().unwrap();
    visitor.wait().unwrap();
    assert!(spared, "the guardian killed a stranger");
    Ok(())
}

#[tokio::test]
async fn drop_of_frozen_and_killed_servers_leaves_nothing() -> Result<()> {
    let cluster = cluster_with_table(2).await?;
    let remains = Remains::of_cluster(&cluster).await;
    cluster.primary().sigstop(Part::Everything)?;
    cluster.replica(1)?.sigstop(Part::Replay)?;
    cluster.replica(2)?.sigstop(Part::Replay)?;
    cluster.replica(2)?.kill9().await?;
    drop(cluster);
    assert!(remains.none_left(), "left after the drop");
    Ok(())
}

#[tokio::test]
async fn a_panic_leaves_nothing() -> Result<()> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let test = tokio::spawn(async move {
        let cluster = cluster_with_table(1).await.unwrap();
        assert!(tell.send(Remains::of_cluster(&cluster).await).is_ok());
        panic!("on purpose");
    });
    assert!(test.await.unwrap_err().is_panic());
    assert!(told.await.unwrap().none_left(), "left after the panic");
    Ok(())
}

#[tokio::test]
async fn ctrl_c_leaves_nothing() -> Result<()> {
    let mut owner = Owner::new();
    let remains = owner.remains().await;
    owner.signal(Signal::INT);
    assert!(owner.process.wait().unwrap().success());
    assert!(remains.none_left(), "left after Ctrl-C");
    Ok(())
}

#[tokio::test]
async fn kill_9_leaves_nothing() -> Result<()> {
    let mut owner = Owner::new();
    let remains = owner.remains().await;
    owner.signal(Signal::KILL);
    assert!(!owner.process.wait().unwrap().success());
    remains.vanish().await
}

#[tokio::test]
async fn kill_9_with_frozen_and_orphaned_backends_leaves_nothing() -> Result<()> {
    let mut owner = Owner::new();
    let busy = connect(&owner.urls[0]).await;
    let remains = owner.remains().await;
    let backend: i32 = busy.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    // A frozen backend does not notice the end of its postmaster.
    kill_process(Pid::from_raw(backend).unwrap(), Signal::STOP).unwrap();
    let pid_file = std::fs::read_to_string(owner.folder.join("primary/postmaster.pid")).unwrap();
    let postmaster = pid_file.lines().next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(postmaster).unwrap(), Signal::KILL).unwrap();
    owner.signal(Signal::KILL);
    assert!(!owner.process.wait().unwrap().success());
    remains.vanish().await
}

#[tokio::test]
async fn kill_9_in_the_middle_of_the_boot_leaves_nothing() -> Result<()> {
    let base = tempfile::tempdir().unwrap();
    std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
    let clusters = || {
        let entries = std::fs::read_dir(base.path()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| name.to_string_lossy().starts_with("rr-cluster-")).count()
    };
    let mut seen = 0;
    // At first there is no template, which takes a while to make; then there is one.
    let while_making_it = (0..8).map(|step| Some(50 * step));
    let later = (0..12).map(|step| Some(20 * step));
    for age in while_making_it.chain([None]).chain(later) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rr-cluster"));
        command.env("RR_TEST_CLUSTER_DIR", base.path());
        let mut process = match age {
            Some(millis) => {
                let process = command.stdout(Stdio::null()).spawn().unwrap();
                tokio::time::sleep(Duration::from_millis(millis)).await;
                process
            }
            None => Owner::boot(&mut command).process,
        };
        process.kill().unwrap();
        process.wait().unwrap();
        seen += clusters();
        let vanished = async || Ok::<_, ClusterError>(clusters() == 0);
        wait_until(SOON, "the cluster's folder to vanish", vanished).await?;
    }
    assert!(seen > 0, "each was killed before it had begun");
    Ok(())
}
