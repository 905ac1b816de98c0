//! The same table of statements, on Diesel's own connections.

use diesel::connection::SimpleConnection;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::sql_query;

use super::{RoutedConnection, RoutedPool, pool};
use crate::kinds::{
    Anything, How, compare, each_built_query, is_tried, known_to, marked, patient, talkative,
};
use crate::support::{Result, boot, note};
use crate::texts::{TEXTS, Text};

fn run(conn: &mut RoutedConnection, how: How, sql: &str) -> QueryResult<()> {
    let inside = |conn: &mut RoutedConnection| sql_query(sql).execute(conn).map(drop);
    match how {
        How::Execute => sql_query(sql).execute(conn).map(drop),
        How::Load => sql_query(sql).load::<Anything>(conn).map(drop),
        How::Rows => sql_query(sql)
            .load_iter::<Anything, PgRowByRowLoadingMode>(conn)?
            .try_for_each(|row| row.map(drop)),
        How::Batch => conn.batch_execute(sql),
        How::Transaction => conn.transaction(inside),
        How::ReadOnly => conn.build_transaction().read_only().run(inside),
        How::Serializable => conn.build_transaction().read_only().serializable().run(inside),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_statement_is_served_by_whom_it_belongs_to() -> Result {
    let cluster = talkative().await?;
    let pool = RoutedPool::start(patient(&cluster)?)?;
    for how in How::ALL {
        for &(what, by, sql) in known_to(&cluster).filter(|(_, by, _)| is_tried(how, *by)) {
            let (sql, after) = marked(what, how, sql);
            let conn = &mut pool.get()?;
            run(conn, how, &sql).map_err(|error| format!("{what}, {how:?}, {by:?}: {error}"))?;
            sql_query(after).execute(conn)?;
        }
    }
    compare(&cluster)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_query_of_the_builder_is_served_by_whom_it_belongs_to() -> Result {
    let cluster = talkative().await?;
    let pool = RoutedPool::start(patient(&cluster)?)?;
    // Twice: the second time the type of the query is known.
    for _ in 0..2 {
        let conn = &mut pool.get()?;
        macro_rules! check {
            ($standby:expr, $query:expr) => {
                let rows: Vec<bool> = $query.load(conn)?;
                assert_eq!(rows, [$standby], "{}", stringify!($query));
                let rows = $query.load_iter::<bool, PgRowByRowLoadingMode>(conn)?;
                let rows: Vec<bool> = rows.collect::<QueryResult<_>>()?;
                assert_eq!(rows, [$standby], "row by row: {}", stringify!($query));
            };
        }
        macro_rules! counts {
            ($count:expr, $query:expr) => {
                assert_eq!($query.execute(conn)?, $count, "{}", stringify!($query));
            };
        }
        each_built_query!(check, counts);
    }
    Ok(())
}

/// `COPY` is no ordinary statement: it has interfaces of its own.
#[tokio::test(flavor = "multi_thread")]
async fn copies_are_served_by_whom_they_belong_to() -> Result {
    let cluster = talkative().await?;
    let pool = RoutedPool::start(patient(&cluster)?)?;
    let conn = &mut pool.get()?;
    let who = |text: &str| -> Result<(bool, bool)> {
        Ok((cluster.primary().log().contains(text), cluster.replica(1)?.log().contains(text)))
    };
    let rows = [(note::id.eq(10), note::text.eq("a")), (note::id.eq(11), note::text.eq("b"))];
    assert_eq!(diesel::copy_from(note::table).from_insertable(&rows).execute(conn)?, 2);
    assert_eq!(who(r#"COPY "note"("id", "text") FROM STDIN WITH (FORMAT binary)"#)?, (true, false));
    conn.transaction(|conn| {
        let lines = |to: &mut dyn std::io::Write| {
            to.write_all(b"12,c\n").map_err(|error| diesel::result::Error::SerializationError(error.into()))
        };
        let copy = diesel::copy_from(note::table).from_raw_data((note::id, note::text), lines);
        copy.with_delimiter(',').execute(conn)
    })?;
    assert_eq!(who(r#"COPY "note"("id", "text") FROM STDIN WITH (DELIMITER"#)?, (true, false));
    let copied: Vec<Note> =
        diesel::copy_to(note::table).load(conn.replica()?)?.collect::<QueryResult<_>>()?;
    assert_eq!(copied.len(), 5);
    assert_eq!(who(r#"COPY "note"("id", "text") TO STDOUT"#)?, (false, true));
    let again: Vec<Note> = diesel::copy_to(note::table).load(conn.primary()?)?.collect::<QueryResult<_>>()?;
    assert_eq!(again, copied);
    assert_eq!(who(r#"COPY "note"("id", "text") TO STDOUT"#)?, (true, true));
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = note)]
struct Note {
    id: i32,
    text: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_safe_to_cache_runs_as_it_is_written() -> Result {
    let cluster = boot(1).await?;
    let conn = &mut pool(&cluster)?.get()?;
    for (text, says) in TEXTS {
        assert_eq!(RunQueryDsl::get_result::<i32>(Text(text), conn)?, says, "{text}");
    }
    Ok(())
}
