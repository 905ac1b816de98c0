// Diesel's own `RunQueryDsl` instead of diesel-async's.

use diesel::prelude::*;
use diesel_async::AsyncPgConnection;
use rr_diesel::RoutedPgConnection;

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
    }
}

async fn plain(conn: &mut AsyncPgConnection) -> QueryResult<Vec<i32>> {
    users::table.select(users::id).load::<i32>(conn)
}

async fn routed(conn: &mut RoutedPgConnection) -> QueryResult<Vec<i32>> {
    users::table.select(users::id).load::<i32>(conn)
}

fn main() {}
