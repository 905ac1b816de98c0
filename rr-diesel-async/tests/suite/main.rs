//! An application that has never heard of rr, on a cluster.

#[path = "../../../rr-diesel/tests/application/models.rs"]
mod models;
mod wrapper;

/// As it was written.
mod plain {
    use plain_diesel_async as diesel_async;

    include!("application.rs");
}

/// After the change of one line.
mod swapped {
    use rr_diesel_async as diesel_async;

    include!("application.rs");
}

use std::time::Duration;

use rr_tests::cluster::{Cluster, Node};

type Error = Box<dyn std::error::Error + Send + Sync>;

const PATIENCE: Duration = Duration::from_secs(20);

async fn empty(cluster: &Cluster) -> Result<(), Error> {
    cluster.primary().sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(())
}

/// The same story, told by one database and by a cluster whose standbys lag for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_swapped_by_one_line() -> Result<(), Error> {
    let cluster = Cluster::builder().replicas(2).start().await?;
    let urls: Vec<String> = cluster.nodes().iter().map(Node::url).collect();
    let alone = plain::story(&urls[0]).await?;
    empty(&cluster).await?;
    assert_eq!(swapped::story(&urls.join(",")).await?, alone);
    empty(&cluster).await?;
    for replica in cluster.replicas() {
        replica.pause_replay().await?;
    }
    assert_eq!(swapped::story(&urls.join(",")).await?, alone);
    for replica in cluster.replicas() {
        replica.resume_replay().await?;
    }
    Ok(())
}

/// A cluster with what `where_am_i` looks at.
async fn visited() -> Result<Cluster, Error> {
    let cluster = Cluster::builder().replicas(1).start().await?;
    let setup = "CREATE TABLE visit (id int); INSERT INTO visit VALUES (1); \
                 CREATE FUNCTION on_standby() RETURNS bool STABLE LANGUAGE sql AS 'SELECT pg_is_in_recovery()'";
    cluster.primary().sql(setup).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(cluster)
}

/// It does not only give the right answers: the replicas give them.
#[tokio::test(flavor = "multi_thread")]
async fn its_reads_are_on_replicas() -> Result<(), Error> {
    let cluster = visited().await?;
    let urls: Vec<String> = cluster.nodes().iter().map(Node::url).collect();
    assert!(swapped::where_am_i(&urls.join(",")).await?);
    assert!(!swapped::where_am_i(&urls[0]).await?);
    assert!(plain::where_am_i(&urls[1]).await?);
    Ok(())
}

/// The variable with the primary's URL that a program has when it is run again.
const URL: &str = "RR_TEST_URL";
/// And the one with what it must tell.
const STORY: &str = "RR_TEST_STORY";

/// Runs a test of this program again, in a process of its own that has the replicas, and more, in its environment.
async fn again(test: &str, cluster: &Cluster, variables: &[(&str, &str)]) -> Result<(), Error> {
    let replicas: Vec<String> = cluster.replicas().iter().map(Node::url).collect();
    let mut again = tokio::process::Command::new(std::env::current_exe()?);
    again
        .args(["--exact", test])
        .env(URL, cluster.primary().url())
        .env("RR_REPLICA_URLS", replicas.join(","));
    let again = again.envs(variables.iter().copied()).output().await?;
    let told = String::from_utf8_lossy(&again.stdout);
    let complained = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success() && told.contains("1 passed"), "{told}{complained}");
    Ok(())
}

/// Where a standby is named by the environment alone.
#[tokio::test(flavor = "multi_thread")]
async fn its_replicas_may_be_in_the_environment() -> Result<(), Error> {
    if let Ok(url) = std::env::var(URL) {
        assert!(swapped::where_am_i(&url).await?, "its reads are on the replica");
        assert!(!plain::where_am_i(&url).await?);
        return Ok(());
    }
    again("its_replicas_may_be_in_the_environment", &visited().await?, &[]).await
}

/// How often servers have looked through the visits since their logs were so long: no transaction does.
fn visits<'a>(nodes: impl IntoIterator<Item = (&'a Node, usize)>) -> usize {
    let count = |(node, from): (&Node, usize)| {
        let log = node.log();
        let table = ["FROM \"visit\"", "FROM visit"];
        log[from..].lines().filter(|line| table.iter().any(|from| line.contains(from))).count()
    };
    nodes.into_iter().map(count).sum()
}

/// As it is deployed: what changes is its environment, and not what it tells.
#[tokio::test(flavor = "multi_thread")]
async fn it_tells_the_same_with_replicas_in_its_environment() -> Result<(), Error> {
    if let Ok(url) = std::env::var(URL) {
        assert_eq!(format!("{:?}", swapped::story(&url).await?), std::env::var(STORY)?);
        return Ok(());
    }
    let cluster = Cluster::builder().replicas(2).setting("log_statement", "all").start().await?;
    let story = format!("{:?}", plain::story(&cluster.primary().url()).await?);
    let all = visits([(cluster.primary(), 0)]);
    // Reads that wait for a replica and never fall back show what is too old, instead of going to the primary.
    let awaited = [("RR_READ_PREFERENCE", "replica"), ("RR_CAUSAL_WAIT", "20s")];
    for (settings, paused) in [(&[][..], false), (&[][..], true), (&awaited[..], false)] {
        empty(&cluster).await?;
        for replica in cluster.replicas().iter().filter(|_| paused) {
            replica.pause_replay().await?;
        }
        let before: Vec<(&Node, usize)> =
            cluster.nodes().iter().map(|node| (node, node.log().len())).collect();
        let variables = [&[(STORY, story.as_str())], settings].concat();
        again("it_tells_the_same_with_replicas_in_its_environment", &cluster, &variables).await?;
        let (primary, replicas) = (visits([before[0]]), visits(before[1..].iter().copied()));
        let told =
            format!("{settings:?}, paused: {paused}: {primary} on the primary, {replicas} on replicas");
        assert!(primary + replicas >= all, "{all}; {told}");
        match (paused, settings.is_empty()) {
            (true, _) => assert_eq!(replicas, 0, "{told}"),
            // No read waits for long: all of them may come before the replicas have what they must see.
            (false, true) => {}
            (false, false) => assert_eq!(primary, 0, "{told}"),
        }
        println!("{told}");
        for replica in cluster.replicas().iter().filter(|_| paused) {
            replica.resume_replay().await?;
        }
    }
    Ok(())
}
