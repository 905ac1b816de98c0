// The structure that is loaded does not say what it is loaded from.
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rr_diesel::RoutedPgConnection;

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
    }
}

struct User {
    id: i32,
    name: String,
}

async fn plain(conn: &mut AsyncPgConnection) -> QueryResult<User> {
    users::table.find(1).first::<User>(conn).await
}

async fn routed(conn: &mut RoutedPgConnection) -> QueryResult<User> {
    users::table.find(1).first::<User>(conn).await
}

fn main() {}
