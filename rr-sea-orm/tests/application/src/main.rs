//! The record shop as a program: `DATABASE_URL` says where its database is.

use record_shop_swapped::database::{Database, DatabaseConnection};
use record_shop_swapped::{crowd, names, shop};
use sea_orm::ConnectOptions;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = ConnectOptions::new(std::env::var("DATABASE_URL")?);
    options.max_connections(5).sqlx_logging(false).set_application_name("record-shop");
    let db: DatabaseConnection = Database::connect(options).await?;
    for line in shop::story(&db).await? {
        println!("{line}");
    }
    let other = Database::connect(std::env::var("DATABASE_URL")?).await?;
    for line in crowd::two_connections(&db, &other).await? {
        println!("{line}");
    }
    other.close().await?;
    db.close().await?;
    for line in names::names(&std::env::var("DATABASE_URL")?).await? {
        println!("{line}");
    }
    Ok(())
}
