//! What the laboratory tries out.

use diesel::dsl::{exists, sql};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use rr_diesel::RoutedPool;
use rr_example::{BoxError, Reading, Trial};

use crate::schema::trials;

#[derive(Clone)]
pub(crate) struct Diesel(pub(crate) RoutedPool);

impl Trial for Diesel {
    async fn write(&self) -> Result<i32, BoxError> {
        let new = diesel::insert_into(trials::table).default_values().returning(trials::id);
        Ok(new.get_result(&mut self.0.handle()).await?)
    }

    async fn read(&self, id: i32) -> Result<Reading, BoxError> {
        let server = sql::<Text>("current_setting('cluster_name')");
        let question = diesel::select((server, exists(trials::table.find(id))));
        let (node, seen) = question.get_result(&mut self.0.handle()).await?;
        Ok(Reading { node, seen })
    }
}
