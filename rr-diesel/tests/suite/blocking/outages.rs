//! Servers that go away under load and while nothing happens: no read may fail.

use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;

use super::readers::{Readers, Turns};
use super::{RoutedConnection, RoutedPool, place, pool};
use crate::outages::{SLOW, busy};
use crate::support::{PLACE, Place, Result, boot, server_port, until};
use rr_tests::outage::Outage;

fn by_rows(conn: &mut RoutedConnection) -> QueryResult<Place> {
    let mut rows = sql_query(PLACE).load_iter::<Place, PgRowByRowLoadingMode>(conn)?;
    rows.next().unwrap_or(Err(Error::NotFound))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_under_load_fails_whatever_happens_to_servers() -> Result {
    let cluster = boot(2).await?;
    let pool = pool(&cluster)?;
    let mut readers = Readers::default();
    for number in 0..8 {
        let pool = pool.clone();
        readers.add(move |mut turns: Turns| {
            while turns.next() {
                let there = match number % 4 {
                    0 | 1 => sql_query(SLOW).get_result(&mut pool.handle())?,
                    2 => place(&mut pool.handle())?,
                    _ => by_rows(&mut pool.handle())?,
                };
                turns.served.count(there.standby);
            }
            Ok(())
        });
    }
    for outage in Outage::ALL {
        // First the one and then the other: after that the primary is all there is.
        for replica in cluster.replicas() {
            busy(replica).await.map_err(|error| format!("{outage:?}: {error}"))?;
            outage.begin(replica).await?;
            readers.served.more(200).await?;
        }
        Outage::end(&cluster).await?;
        readers.served.more_on_standbys(200).await?;
    }
    for outage in [Outage::Sessions, Outage::Killed] {
        outage.begin(cluster.primary()).await?;
        readers.served.more(300).await?;
    }
    let (standby, primary) = readers.finish()?;
    println!("outages: {standby} reads on standbys, {primary} on the primary, none failed");
    Ok(())
}

/// Many reads at once, each on a connection of its own.
fn burst(pool: &RoutedPool, hint: &str) -> QueryResult<Vec<Place>> {
    let read = || sql_query(format!("{hint}{SLOW}")).get_result::<Place>(&mut pool.handle());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(read)).collect();
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(read) => read,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_died_in_the_pool_fail_no_read() -> Result {
    let cluster = boot(2).await?;
    let pool = pool(&cluster)?;
    for outage in Outage::ALL {
        for replica in cluster.replicas() {
            let port = server_port(replica)?;
            let serves = async || Ok(burst(&pool, "")?.iter().any(|there| there.port == port));
            until("a replica to serve", serves).await.map_err(|error| format!("{outage:?}: {error}"))?;
        }
        burst(&pool, "/*rr:primary*/")?;
        // There are idle connections to all nodes now.
        for replica in cluster.replicas() {
            outage.begin(replica).await?;
        }
        Outage::Sessions.begin(cluster.primary()).await?;
        for _ in 0..3 {
            burst(&pool, "").map_err(|error| format!("{outage:?}: {error}"))?;
        }
        Outage::end(&cluster).await?;
    }
    Ok(())
}
