//! What becomes of reads that no replica can serve as they should be served, and where sessions stay.

use std::collections::BTreeSet;

use rr_core::config::CausalElse;
use rr_core::route::RouteError;

use super::*;

async fn paused(change: impl FnOnce(&mut Config)) -> Result<(Cluster, Handle)> {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let mut config = keyed(&cluster);
    change(&mut config);
    let db = Handle::over(config).await?;
    cluster.replica(1)?.pause_replay().await?;
    Ok((cluster, db))
}

#[tokio::test]
async fn a_stale_replica_serves_where_that_is_wanted() -> Result {
    let (cluster, db) = paused(|config| config.causal_else = CausalElse::Stale).await?;
    let db = db.of(&Session::new());
    db.write("unseen").await?;
    let (seen, node, reason) = db.find("unseen").await?;
    assert_eq!((seen, &*node, reason), (false, "replica-1", RouteReason::Stale));
    assert_eq!((db.router().counted(Step::Stale), db.router().counted(Step::GaveUp)), (1, 1));
    let search = Search::new(db.router(), Wish::default());
    let explained = db.router().explain_route(&search.request(&db.ledger));
    assert_eq!(explained.outcome.ok(), Some(RouteReason::Stale));
    cluster.replica(1)?.kill9().await?;
    until(db.router(), "the replica to be out", |r| !r.health().replicas[0].healthy).await?;
    assert!(db.sees("unseen").await?, "where no replica serves, the primary does");
    Ok(())
}

#[tokio::test]
async fn a_read_fails_where_that_is_wanted() -> Result {
    let (cluster, db) = paused(|config| config.causal_else = CausalElse::Error).await?;
    let session = Session::new();
    let own = db.of(&session);
    own.write("unseen").await?;
    let request = Request::read(db.router().requirement(Some(&session), None));
    let error = db.router().route(&request).unwrap_err();
    assert!(matches!(&error, RouteError::NotCaughtUp { rejected } if rejected.len() == 1), "{error}");
    assert!(error.to_string().contains("`replica-1` behind by"), "{error}");
    assert_eq!(db.router().counted(Step::Refused), 1);
    assert!(!db.of(&Session::new()).sees("unseen").await?, "who needs nothing is served");
    cluster.replica(1)?.resume_replay().await?;
    assert!(db.router().route_within(&request, PATIENCE).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_session_stays_on_its_node_for_as_long_as_that_may_serve_it() -> Result {
    let cluster = Cluster::builder().replicas(3).start().await?;
    prepare(&cluster).await?;
    let mut config = keyed(&cluster);
    config.session.affinity = Some(PATIENCE);
    let db = Handle::over(config).await?;
    let mut homes = BTreeSet::new();
    for _ in 0..20 {
        let user = db.of(&Session::new());
        let (_, home, _) = user.find("x").await?;
        for _ in 0..10 {
            assert_eq!(user.find("x").await?.1, home);
        }
        homes.insert(home);
    }
    assert!(homes.len() > 1, "different sessions have different nodes");
    // A node that lacks what the session wrote loses it.
    let user = db.of(&Session::new());
    let (_, home, _) = user.find("x").await?;
    let home = cluster.replicas().iter().find(|node| node.name() == home).ok_or("a replica")?;
    home.pause_replay().await?;
    user.write("elsewhere").await?;
    let (seen, node, _) = user.find("elsewhere").await?;
    assert!(seen && node != home.name(), "{node}");
    Ok(())
}

#[tokio::test]
async fn the_window_ends_what_cannot_be_placed() -> Result {
    let (cluster, db) = paused(|config| {
        config.consistency = Consistency::ReadAfterWrite;
        config.read_after_write_window = Duration::from_millis(200);
        config.max_lag = None;
    })
    .await?;
    let session = Session::new();
    let user = db.of(&session);
    cluster.primary().kill9().await?;
    user.ledger.wrote(None);
    assert!(db.router().requirement(Some(&session), None).after.is_some());
    let level = Some(Consistency::ReadAfterWrite);
    until(db.router(), "the window to end", |r| r.requirement(Some(&session), level).after.is_none()).await?;
    assert_eq!(&**user.route().await?.name(), "replica-1");
    // At level `session` there is no window: the write may be there, and only the primary knows.
    assert!(db.router().requirement(Some(&session), Some(Consistency::Session)).after.is_some());
    Ok(())
}
