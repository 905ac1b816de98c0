//! Migrations, schema sync, the registry of entities, tables that come and go.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, FromQueryResult, Statement};
use sea_orm_migration::{MigratorTrait, SchemaManager};

use super::database::DatabaseConnection;
use super::diary::Diary;
use super::entity::{REGISTRY, artist, genre};
use super::migration::Migrator;

mod first {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "customer")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub email: String,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

mod second {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "customer")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[sea_orm(unique)]
        pub email: String,
        pub name: Option<String>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

#[derive(Debug, FromQueryResult)]
pub struct Name {
    pub name: String,
}

/// The tables that there are, asked for in a way that a standby could answer.
async fn tables(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let sql = "SELECT c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY 1";
    let statement = Statement::from_string(db.get_database_backend(), sql);
    Ok(Name::find_by_statement(statement).all(db).await?.into_iter().map(|row| row.name).collect())
}

pub async fn migrations(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("migrations");
    let other = db.clone();
    Migrator::fresh(db).await?;
    diary.note("fresh", tables(&other).await?);
    diary.note("genres", genre::Entity::find().count(&other).await?);
    diary.note("pending", Migrator::get_pending_migrations(db).await?.len());
    Migrator::down(db, Some(1)).await?;
    diary.note("down", genre::Entity::find().count(&other).await?);
    Migrator::up(&other, None).await?;
    diary.note("up", genre::Entity::find().all(db).await?);
    Migrator::down(db, Some(3)).await?;
    diary.note("three down", tables(&other).await?);
    diary.note("pending", Migrator::get_pending_migrations_read_only(&other).await?.len());
    Migrator::up(db, Some(2)).await?;
    let names = Migrator::get_applied_migrations(&other).await?;
    diary.note("two up", names.iter().map(|migration| migration.name()).collect::<Vec<_>>());
    Migrator::refresh(db).await?;
    diary.note("refreshed", genre::Entity::find().count(&other).await?);
    Migrator::reset(db).await?;
    diary.note("reset", tables(&other).await?);
    let manager = SchemaManager::new(db);
    diary.note("has artists", manager.has_table("artist").await?);
    Migrator::up(db, None).await?;
    diary.note("has artists", manager.has_table("artist").await?);
    diary.note("has years", SchemaManager::new(&other).has_column("album", "year").await?);
    diary.note("has an index", manager.has_index("album", "album-year").await?);
    Migrator::status(db).await?;
    Ok(diary)
}

pub async fn registry(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("registry");
    let other = db.clone();
    Migrator::reset(db).await?;
    diary.note("nothing", tables(&other).await?);
    db.get_schema_registry(REGISTRY).apply(db).await?;
    diary.note("registered", tables(&other).await?);
    let artist =
        artist::ActiveModel { name: Set("Nico".to_owned()), ..Default::default() }.insert(db).await?;
    diary.note("an artist", artist::Entity::find_by_id(artist.id).one(&other).await?);
    db.get_schema_registry(REGISTRY).sync(db).await?;
    diary.note("artists are kept", artist::Entity::find().count(&other).await?);
    Migrator::fresh(db).await?;
    diary.note("by migrations", tables(&other).await?);
    Ok(diary)
}

pub async fn sync(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("sync");
    let other = db.clone();
    db.execute_unprepared("DROP TABLE IF EXISTS customer").await?;
    db.get_schema_builder().register(first::Entity).sync(db).await?;
    let ann =
        first::ActiveModel { email: Set("ann@shop".to_owned()), ..Default::default() }.insert(db).await?;
    diary.note("first", first::Entity::find_by_id(ann.id).one(&other).await?);
    db.get_schema_builder().register(second::Entity).sync(&other).await?;
    diary.note("second", second::Entity::find().all(db).await?);
    let again =
        second::ActiveModel { email: Set("ann@shop".to_owned()), ..Default::default() }.insert(&other).await;
    diary.note("unique now", again.unwrap_err().sql_err());
    db.get_schema_builder().register(second::Entity).sync(db).await?;
    diary.note("once more", second::Entity::find().count(&other).await?);
    Ok(diary)
}

/// Created through one clone of the handle, used through another at once.
pub async fn passing_tables(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("passing tables");
    for round in 0..5 {
        let name = format!("passing_{round}");
        db.execute_unprepared(&format!(
            "CREATE TABLE {name} (name text); INSERT INTO {name} VALUES ('{round}')"
        ))
        .await?;
        let other = db.clone();
        let all = Statement::from_string(db.get_database_backend(), format!("SELECT name FROM {name}"));
        let seen = tokio::spawn(async move { Name::find_by_statement(all).all(&other).await });
        diary.note("in another task", seen.await.map_err(|error| DbErr::Custom(error.to_string()))??);
        db.execute_unprepared(&format!("ALTER TABLE {name} RENAME COLUMN name TO title")).await?;
        let titles =
            Statement::from_string(db.get_database_backend(), format!("SELECT title AS name FROM {name}"));
        diary.note("renamed", Name::find_by_statement(titles).one(&db.clone()).await?);
        db.execute_unprepared(&format!("DROP TABLE {name}")).await?;
        let gone =
            Statement::from_string(db.get_database_backend(), format!("SELECT title AS name FROM {name}"));
        diary.note("gone", Name::find_by_statement(gone).one(&db.clone()).await.is_err());
    }
    Ok(diary)
}
