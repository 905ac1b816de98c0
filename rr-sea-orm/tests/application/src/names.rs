//! Every name that SeaORM has for a connection, in every place where applications write it.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::entity::prelude as entity_prelude;
use sea_orm::{
    AccessMode, ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectOptions, ConnectionTrait, Database,
    DatabaseBackend, DatabaseExecutor, DbErr, EntityTrait, IntoDatabaseExecutor, PaginatorTrait, QueryFilter,
    Statement, StreamTrait, TransactionSession, TransactionTrait, prelude,
};
use sea_orm_migration::{MigratorTrait, SchemaManager};

use super::diary::Diary;
use super::entity::genre;
use super::migration::Migrator;

/// What a web application keeps.
#[derive(Clone, Debug)]
pub struct AppState {
    pub db: sea_orm::DatabaseConnection,
    pub shared: Arc<sea_orm::DbConn>,
}

/// A connection that is a part of something.
#[derive(Debug)]
pub struct Repository<'a, C>(pub &'a C);

impl<C: ConnectionTrait> Repository<'_, C> {
    async fn genres(&self) -> Result<u64, DbErr> {
        genre::Entity::find().count(self.0).await
    }
}

impl AppState {
    pub async fn new(url: &str) -> Result<Self, DbErr> {
        let mut options = ConnectOptions::new(url);
        options.max_connections(3).min_connections(1).sqlx_logging(false);
        let db = Database::connect(options).await?;
        let shared = Arc::new(db.clone());
        Ok(Self { db, shared })
    }
}

async fn by_its_name(db: &sea_orm::DatabaseConnection) -> Result<u64, DbErr> {
    genre::Entity::find().count(db).await
}

async fn for_short(db: &sea_orm::DbConn) -> Result<u64, DbErr> {
    by_its_name(db).await
}

async fn from_the_prelude(db: &prelude::DatabaseConnection) -> Result<u64, DbErr> {
    for_short(db).await
}

async fn from_the_entities(db: &entity_prelude::DbConn) -> Result<u64, DbErr> {
    from_the_prelude(db).await
}

async fn within(db: &sea_orm::DatabaseTransaction) -> Result<u64, DbErr> {
    Repository(db).genres().await
}

async fn whatever_it_is<C>(db: &C) -> Result<u64, DbErr>
where
    C: ConnectionTrait + StreamTrait + TransactionTrait,
{
    let transaction = db.begin_with_config(None, Some(AccessMode::ReadOnly)).await?;
    let count = Repository(&transaction).genres().await?;
    transaction.rollback().await?;
    Ok(count)
}

async fn executed<'c>(db: impl IntoDatabaseExecutor<'c>) -> Result<u64, DbErr> {
    let db: DatabaseExecutor<'c> = db.into_database_executor();
    Repository(&db).genres().await
}

pub async fn names(url: &str) -> Result<Vec<String>, DbErr> {
    let mut diary = Diary::chapter("names");
    let state = AppState::new(url).await?;
    let db = &state.db;
    genre::ActiveModel { name: Set("swing".to_owned()), ..Default::default() }.insert(db).await?;
    diary.note("by its name", by_its_name(db).await?);
    diary.note("from the entities", from_the_entities(&state.shared).await?);
    diary.note("repository", Repository(&*state.shared).genres().await?);
    diary.note("whatever it is", whatever_it_is(db).await?);
    let transaction: sea_orm::DatabaseTransaction = db.begin().await?;
    diary.note("within", within(&transaction).await?);
    diary.note("whatever it is", whatever_it_is(&transaction).await?);
    diary.note("executed within", executed(&transaction).await?);
    transaction.commit().await?;
    diary.note("executed", executed(db).await?);
    diary.note("an executor", Repository(&DatabaseExecutor::from(db)).genres().await?);
    diary.note("a schema", SchemaManager::new(db).has_table("genre").await?);
    let transaction = db.begin().await?;
    diary.note("migrations within", Migrator::get_pending_migrations(&transaction).await?.len());
    Migrator::up(&transaction, None).await?;
    transaction.rollback().await?;
    let swing = genre::Entity::find().filter(genre::Column::Name.eq("swing"));
    diary.note("a query", sea_orm::debug_query!(&swing, db));
    diary.note("a statement", sea_orm::debug_query_stmt!(&swing, DatabaseBackend::Postgres).sql);
    let statement = Statement::from_string(db.get_database_backend(), "SELECT 1");
    diary.note("raw", db.query_one_raw(statement).await?.is_some());
    diary.note("backend", (db.get_database_backend(), db.support_returning(), db.is_mock_connection()));
    let mut counted = db.clone();
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    counted.set_metric_callback(move |info| {
        counting.fetch_add(usize::from(!info.failed), std::sync::atomic::Ordering::Relaxed);
    });
    let deleted = genre::Entity::delete_many().filter(genre::Column::Name.eq("swing")).exec(&counted).await?;
    diary.note("deleted", deleted.rows_affected);
    diary.note("left", by_its_name(&counted).await?);
    diary.note("counted", count.load(std::sync::atomic::Ordering::Relaxed));
    let mut nowhere = ConnectOptions::new("postgres://app@127.0.0.1:1/app");
    nowhere.acquire_timeout(Duration::from_millis(200));
    diary.note("no server", Database::connect(nowhere.clone()).await.is_err());
    nowhere.connect_lazy(true);
    diary.note("no server yet", Database::connect(nowhere).await.is_ok());
    db.ping().await?;
    state.shared.close_by_ref().await?;
    diary.note("closed", by_its_name(db).await.is_err());
    Ok(diary.lines())
}
