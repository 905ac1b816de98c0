//! A list of URLs where SeaORM has one URL.

use rr_sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, Statement};
use rr_tests::wait::until;

use crate::support::{Result, logging};

async fn ask(db: &DatabaseConnection, sql: &str) -> Result<String, DbErr> {
    let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    row.ok_or_else(|| DbErr::RecordNotFound(sql.to_owned()))?.try_get_by_index(0)
}

#[tokio::test]
async fn each_server_has_the_parameters_of_its_own_url() -> Result {
    let cluster = logging(1).start().await?;
    let url = |node: &rr_tests::cluster::Node, name: &str| {
        format!("{}?application_name={name}&sslmode=prefer", node.url().replace("app@", "app:hush@"))
    };
    let urls = format!("{},{}", url(cluster.primary(), "writes"), url(cluster.replica(1)?, "reads"));
    let db = Database::connect(&urls).await?;
    let name = "SELECT current_setting('application_name')";
    until("the standby to serve", async || Ok(ask(&db, name).await? == "reads")).await?;
    assert_eq!(ask(&db.use_primary(), name).await?, "writes");
    Ok(())
}
