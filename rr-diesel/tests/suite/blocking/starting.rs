//! Pools out of addresses and out of the environment, and what is never shown.

use diesel::connection::Connection;
use diesel::prelude::*;
use diesel::sql_query;
use rr_core::{Request, Requirement};
use rr_tests::cluster::Node;

use super::{RoutedConnection, RoutedPool, place};
use crate::starting::{again, bad_urls, closed, has_environment, shown, shows_no_secret};
use crate::support::{Result, boot};

fn serves(pool: &RoutedPool) -> Result {
    assert!(place(&mut pool.handle())?.standby);
    assert!(!super::standby_says(&mut pool.handle(), "/*rr:primary*/ SELECT on_standby() AS standby")?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_made_of_urls() -> Result {
    let cluster = boot(2).await?;
    let pool = RoutedPool::from_urls(&cluster.primary().url(), cluster.replicas().iter().map(Node::url))?;
    assert_eq!(pool.router().topology().nodes().len(), 3);
    serves(&pool)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_made_of_the_environment() -> Result {
    if has_environment() {
        return serves(&RoutedPool::from_env()?);
    }
    again("blocking::starting::a_pool_is_made_of_the_environment", &boot(1).await?).await
}

#[test]
fn a_password_is_shown_nowhere() -> Result {
    let pool = RoutedPool::start(closed()?)?;
    let mut conn = pool.handle();
    let refused = [
        sql_query("SELECT 1").execute(&mut conn).unwrap_err(),
        sql_query("DELETE FROM note").execute(&mut conn).unwrap_err(),
    ];
    assert!(refused[0].to_string().contains("refused"), "{}", refused[0]);
    let mut texts: Vec<String> = refused.iter().flat_map(|error| shown(error)).collect();
    for url in bad_urls() {
        // What only libpq can judge is told by the first statement.
        match RoutedConnection::establish(&url) {
            Ok(mut conn) => texts.extend(shown(&sql_query("SELECT 1").execute(&mut conn).unwrap_err())),
            Err(error) => texts.extend(shown(&error)),
        }
        texts.extend(RoutedPool::from_urls(&url, [&url]).err().iter().flat_map(|error| shown(error)));
    }
    texts.extend([format!("{pool:?}"), format!("{conn:?}"), format!("{:?}", pool.router().connector())]);
    if let Ok(route) = pool.router().route(&Request::read(Requirement::NONE)) {
        texts.extend([format!("{route:?}"), format!("{:?}", route.pool())]);
    }
    shows_no_secret(&texts);
    Ok(())
}
