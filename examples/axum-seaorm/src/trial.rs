//! What the laboratory tries out.

use rr_example::{BoxError, Reading, Trial};
use rr_seaorm::RoutedConnection;
use sea_orm::{ActiveModelTrait, DbErr, EntityTrait, FromQueryResult, Statement};

use crate::entity::trial;

#[derive(Clone)]
pub(crate) struct SeaOrm(pub(crate) RoutedConnection);

#[derive(FromQueryResult)]
struct Row {
    node: String,
    seen: bool,
}

impl Trial for SeaOrm {
    async fn write(&self) -> Result<i32, BoxError> {
        Ok(trial::ActiveModel { ..Default::default() }.insert(&self.0).await?.id)
    }

    async fn read(&self, id: i32) -> Result<Reading, BoxError> {
        let sql = "SELECT current_setting('cluster_name') AS node, EXISTS (SELECT FROM trials WHERE id = $1) AS seen";
        let question = Statement::from_sql_and_values(self.0.get_database_backend(), sql, [id.into()]);
        let row = trial::Entity::find().from_raw_sql(question).into_model::<Row>().one(&self.0).await?;
        let Row { node, seen } = row.ok_or_else(|| DbErr::RecordNotFound("a row".to_owned()))?;
        Ok(Reading { node, seen })
    }
}
