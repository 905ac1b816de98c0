//! An application that has never heard of rr, on clusters.

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[tokio::test(flavor = "multi_thread")]
async fn plain() -> Result {
    let cluster = rr_tests::cluster::Cluster::builder().start().await?;
    let db = rr_application_plain::database::Database::connect(cluster.primary().url()).await?;
    let lines = rr_application_plain::shop::story(&db).await?;
    for line in &lines { println!("{line}"); }
    let again = rr_application_plain::shop::story(&db).await?;
    assert_eq!(lines, again);
    Ok(())
}
