//! The harness must hold before anything is tested on it.

use rr_tests::cluster::{Cluster, Result};

#[tokio::test]
async fn a_row_reaches_both_replicas() -> Result<()> {
    let cluster = Cluster::builder().replicas(2).start().await?;
    println!("booted {} in {:?}", cluster.programs().version(), cluster.boot_time());
    cluster.primary().sql("CREATE TABLE note (text text); INSERT INTO note VALUES ('hello')").await?;
    cluster.wait_caught_up(std::time::Duration::from_secs(10)).await?;
    for r in cluster.replicas() {
        assert_eq!(r.query_text("SELECT text FROM note").await?, "hello");
    }
    Ok(())
}
