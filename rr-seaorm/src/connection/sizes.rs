//! What is boxed and copied with each statement is small. The driver's futures are not: one that waits for a connection is 14 kB.
//! That of a transaction's begin has one in it, and stays where it was made.

use rr_core::config::Config;
use sea_orm::Statement;

use super::traits::BACKEND;
use super::{Kind, RoutedConnection};
use crate::job::{Execute, One};

const SMALL: usize = 2000;

#[tokio::test]
async fn a_statements_future_is_small() {
    let config = Config::new("postgres://app@127.0.0.1:1/shop").unwrap();
    let db = RoutedConnection::start(config).await.unwrap();
    let statement = Statement::from_string(BACKEND, "SELECT 1");
    let sizes = [
        size_of_val(&db.run(Kind::Text, &One(&statement))),
        size_of_val(&db.run(Kind::Write, &Execute(&statement))),
        size_of_val(&db.rows(Kind::Text, statement.clone())),
    ];
    assert!(sizes.iter().all(|size| *size < SMALL), "{sizes:?}");
}
