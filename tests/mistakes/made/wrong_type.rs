// A field has another type than its column.
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rr_diesel::RoutedPgConnection;

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
    }
}

#[derive(Queryable)]
struct User {
    id: i32,
    name: i32,
}

async fn plain(conn: &mut AsyncPgConnection) -> QueryResult<Vec<User>> {
    users::table.load::<User>(conn).await
}

async fn routed(conn: &mut RoutedPgConnection) -> QueryResult<Vec<User>> {
    users::table.load::<User>(conn).await
}

fn main() {}
