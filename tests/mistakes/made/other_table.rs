// A condition on a table that the query does not mention.
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rr_diesel::RoutedPgConnection;

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
    }
}

diesel::table! {
    posts (id) {
        id -> Integer,
    }
}

async fn plain(conn: &mut AsyncPgConnection) -> QueryResult<Vec<(i32, String)>> {
    users::table.filter(posts::id.eq(1)).load(conn).await
}

async fn routed(conn: &mut RoutedPgConnection) -> QueryResult<Vec<(i32, String)>> {
    users::table.filter(posts::id.eq(1)).load(conn).await
}

fn main() {}
