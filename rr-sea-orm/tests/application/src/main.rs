//! The record shop as a program: `DATABASE_URL` says where its database is.

use record_shop_swapped::database::{Database, DatabaseConnection};
use record_shop_swapped::shop;
use sea_orm::ConnectOptions;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = ConnectOptions::new(std::env::var("DATABASE_URL")?);
    options.max_connections(5).sqlx_logging(false).set_application_name("record-shop");
    let db: DatabaseConnection = Database::connect(options).await?;
    for line in shop::story(&db).await? {
        println!("{line}");
    }
    db.close().await?;
    Ok(())
}
