//! An application that has never heard of rr, on a cluster.

#[path = "../../../rr-diesel/tests/application/models.rs"]
mod models;

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

use rr_tests::cluster::Cluster;

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
    let urls: Vec<String> = cluster.nodes().iter().map(rr_tests::cluster::Node::url).collect();
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
    let urls: Vec<String> = cluster.nodes().iter().map(rr_tests::cluster::Node::url).collect();
    assert!(swapped::where_am_i(&urls.join(",")).await?);
    assert!(!swapped::where_am_i(&urls[0]).await?);
    assert!(plain::where_am_i(&urls[1]).await?);
    Ok(())
}

/// Where a standby is named by the environment alone; once more in a process of its own, which has it there.
#[tokio::test(flavor = "multi_thread")]
async fn its_replicas_may_be_in_the_environment() -> Result<(), Error> {
    let (alone, replicas) = ("RR_TEST_URL", "RR_REPLICA_URLS");
    if let Ok(url) = std::env::var(alone) {
        assert!(swapped::where_am_i(&url).await?, "its reads are on the replica");
        assert!(!plain::where_am_i(&url).await?);
        return Ok(());
    }
    let cluster = visited().await?;
    let mut again = tokio::process::Command::new(std::env::current_exe()?);
    again.args(["--exact", "its_replicas_may_be_in_the_environment"]).env(alone, cluster.primary().url());
    let again = again.env(replicas, cluster.replica(1)?.url()).output().await?;
    let told = String::from_utf8_lossy(&again.stdout);
    let complained = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success() && told.contains("1 passed"), "{told}{complained}");
    Ok(())
}
