//! Connections that a handle lends, whatever is done with them.

use diesel::connection::SimpleConnection;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use rr_diesel::outcome_unknown;

use super::{RoutedPool, place, pool, standby_says};
use crate::lending::{KILLED, LEFT, MANY, NAME, Row};
use crate::support::{Result, boot, config, note, until};

#[derive(Queryable, Selectable)]
#[diesel(table_name = note)]
struct Text {
    #[expect(dead_code, reason = "there is no row")]
    text: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_on_a_lent_connection_is_for_nobody_else() -> Result {
    let cluster = boot(1).await?;
    let settings = config(&cluster)
        .with(|config| (config.pool.primary.max, config.pool.replica.max) = (1, 1))
        .build()?;
    let pool = RoutedPool::start(settings)?;
    until("the replica to serve", async || Ok(place(&mut pool.handle())?.standby)).await?;
    pool.handle().primary()?.batch_execute(LEFT)?;
    assert!(!standby_says(pool.handle().use_primary(), NAME)?);
    pool.handle().replica()?.batch_execute(LEFT)?;
    assert!(!standby_says(&mut pool.handle(), NAME)?);
    // Diesel leaves it in the middle of the copy.
    let mut conn = pool.handle();
    let copied: QueryResult<Vec<Text>> = diesel::copy_to(note::table).load(conn.replica()?)?.collect();
    assert!(copied?.is_empty());
    drop(conn);
    assert!(place(&mut pool.handle())?.standby);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_on_a_replica_has_no_connection_to_the_primary() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    until("the replica to serve", async || Ok(place(&mut pool.handle())?.standby)).await?;
    let conn = &mut pool.handle();
    let told = conn
        .build_transaction()
        .read_only()
        .run::<_, Error, _>(|conn| Ok(conn.primary().map(drop).map_err(|error| error.to_string())));
    let told = told?.unwrap_err();
    assert!(told.contains("on a replica"), "{told}");
    diesel::insert_into(note::table).values(note::text.eq("x")).execute(conn)?;
    assert_eq!(note::table.count().get_result::<i64>(conn)?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_replicas_are_asked_for_nothing_is_written() -> Result {
    let cluster = boot(0).await?;
    let pool = pool(&cluster)?;
    let conn = &mut pool.handle();
    let insert = || diesel::insert_into(note::table).values(note::text.eq("x"));
    let refused = insert().execute(conn.replica()?);
    assert!(refused.unwrap_err().to_string().contains("read-only transaction"));
    insert().execute(conn)?;
    Ok(())
}

/// The server goes while it waits for somebody to read.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_lost_behind_its_first_row_is_unknown() -> Result {
    let cluster = boot(0).await?;
    let pool = pool(&cluster)?;
    let conn = &mut pool.handle();
    let mut rows = sql_query(MANY).load_iter::<Row, PgRowByRowLoadingMode>(conn)?;
    assert_eq!(rows.next().ok_or("no row")??.text.len(), 10_000);
    assert_eq!(cluster.primary().admin_query_text(KILLED).await?, "1");
    let error = rows.find_map(std::result::Result::err).ok_or("all rows came")?;
    assert!(outcome_unknown(&error).is_some(), "{error:?}");
    Ok(())
}
