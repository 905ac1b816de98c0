//! SeaORM.

use futures::StreamExt;
use rr_core::{Router, Session};
use rr_seaorm::retry::{self, Policy};
use rr_seaorm::{RoutedConnection, SeaOrmConnector};
use rr_tests::wait::{PATIENCE, polled};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityTrait, Statement, StreamTrait, TransactionError,
    TransactionTrait,
};

use crate::hunt::{Mix, stumbling};

mod bucket {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "bucket")]
    pub(super) struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub n: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(super) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[derive(Clone)]
pub(crate) struct SeaOrm(pub(crate) RoutedConnection);

async fn read(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    bucket::Entity::find_by_id(1).one(db).await.map(drop)
}

async fn write(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    let new = bucket::ActiveModel { n: Set(1), ..Default::default() };
    bucket::Entity::insert(new).exec(db).await.map(drop)
}

fn raw(sql: &str) -> Statement {
    Statement::from_string(DbBackend::Postgres, sql)
}

impl SeaOrm {
    async fn run(&self, number: u64) -> Result<(), DbErr> {
        let db = &self.0;
        match number % 20 {
            0 => write(db).await,
            1 => {
                let transaction = db.begin().await?;
                write(&transaction).await?;
                read(&transaction).await?;
                transaction.commit().await
            }
            2 => match retry::transaction(db, Policy::new(), async |db, _| write(db).await).await {
                Err(TransactionError::Connection(error) | TransactionError::Transaction(error)) => Err(error),
                Ok(()) => Ok(()),
            },
            3 => self.of_a_session().await,
            4 => {
                let transaction = db.begin().await?;
                write(&transaction).await?;
                // Dropped, it is rolled back.
                if number % 40 == 4 { transaction.rollback().await } else { Ok(()) }
            }
            5 => match db.query_one_raw(raw("SELECT 1 / 0")).await {
                Err(DbErr::Query(_)) => Ok(()),
                other => other.map(drop),
            },
            6 if number % 100 == 6 => self.rare(0, 2).await,
            7 if number % 100 == 7 => self.rare(1, 3).await,
            8 if number % 100 == 8 => self.rare(2, 0).await,
            9 if number % 500 == 9 => self.rare(3, 0).await,
            _ => read(db).await,
        }
    }

    /// A read and a write that are given up after so many polls, a stream that is not read to its end, a connection that is lost.
    async fn rare(&self, which: u64, polls: usize) -> Result<(), DbErr> {
        let db = &self.0;
        match which {
            0 => polled(polls, read(db)).await.transpose().map(drop),
            1 => polled(polls, write(db)).await.transpose().map(drop),
            2 => {
                let mut rows = db.stream_raw(raw("SELECT generate_series(1, 1000)")).await?;
                rows.next().await.transpose().map(drop)
            }
            _ => db.query_one_raw(raw("SELECT n FROM lost")).await.map(drop),
        }
    }

    /// Writes, and reads elsewhere with a token.
    async fn of_a_session(&self) -> Result<(), DbErr> {
        let (router, session) = (self.router(), Session::new());
        session.scope(async { write(&self.0).await }).await?;
        let failed = |error: rr_core::TokenError| DbErr::Custom(error.to_string());
        // Where the write ended is asked for now.
        let export = router.export(&session, PATIENCE).await.map_err(failed)?;
        let resumed = router.resume(export.token.as_str()).await.map_err(failed)?;
        resumed.scope(async { read(&self.0).await }).await
    }
}

impl Mix for SeaOrm {
    type Connector = SeaOrmConnector;

    fn router(&self) -> &Router<SeaOrmConnector> {
        self.0.router()
    }

    async fn turn(&self, number: u64) -> Result<(), String> {
        self.run(number).await.map_err(|error| error.to_string())
    }

    async fn stumble(&self, number: u64) -> Result<(), String> {
        let (which, polls) = stumbling(number);
        self.rare(which, polls).await.map_err(|error| error.to_string())
    }

    async fn busy(&self, on_primary: bool) -> Result<(), String> {
        let sql = if on_primary { "/*rr:primary*/SELECT pg_sleep(0.02)" } else { "SELECT pg_sleep(0.02)" };
        let slept = self.0.query_one_raw(raw(sql)).await;
        slept.map(drop).map_err(|error| error.to_string())
    }
}
