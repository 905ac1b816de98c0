//! Transactions with options: what the server makes of them, and what it is told.

use std::sync::{Arc, Mutex};

use diesel::connection::InstrumentationEvent;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use crate::support::{Result, boot, pool};

#[derive(Debug, PartialEq, Eq, QueryableByName)]
struct Settings {
    #[diesel(sql_type = diesel::sql_types::Text)]
    isolation: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    read_only: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    deferrable: String,
}

const SETTINGS: &str = "SELECT current_setting('transaction_isolation') AS isolation, \
                        current_setting('transaction_read_only') AS read_only, \
                        current_setting('transaction_deferrable') AS deferrable";

/// Every combination, as the server sees it; and the texts with which they have begun.
macro_rules! each_combination {
    ($conn:ident) => {{
        let begun = Arc::new(Mutex::new(Vec::new()));
        $conn.set_instrumentation({
            let begun = Arc::clone(&begun);
            move |event: InstrumentationEvent<'_>| {
                if let InstrumentationEvent::StartQuery { query, .. } = event
                    && query.to_string().starts_with("BEGIN")
                {
                    begun.lock().unwrap().push(query.to_string());
                }
            }
        });
        let mut seen = Vec::new();
        for (isolation, mode, deferrable) in
            (0..4).flat_map(|one| (0..3).flat_map(move |two| (0..3).map(move |three| (one, two, three))))
        {
            let builder = $conn.build_transaction();
            let builder = match isolation {
                0 => builder,
                1 => builder.read_committed(),
                2 => builder.repeatable_read(),
                _ => builder.serializable(),
            };
            let builder = match mode {
                0 => builder,
                1 => builder.read_only(),
                _ => builder.read_write(),
            };
            let mut builder = match deferrable {
                0 => builder,
                1 => builder.deferrable(),
                _ => builder.not_deferrable(),
            };
            let ask = async |conn: &mut _| sql_query(SETTINGS).get_result::<Settings>(conn).await;
            seen.push(builder.run::<_, Error, _>(ask).await?);
        }
        let begun = begun.lock().unwrap().clone();
        (seen, begun)
    }};
}

#[tokio::test]
async fn every_combination_is_what_it_is_on_a_plain_connection() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let (mut plain, mut routed) =
        (AsyncPgConnection::establish(&cluster.primary().url()).await?, pool.handle());
    let plain: (Vec<_>, Vec<_>) = each_combination!(plain);
    assert_eq!((plain.0.len(), plain.1.len()), (36, 36));
    assert_eq!(each_combination!(routed), plain);
    Ok(())
}
