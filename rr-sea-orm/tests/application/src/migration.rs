//! How the tables came to be.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    array, big_integer, binary, boolean, custom, date, decimal_len, double, integer, integer_null,
    json_binary, pk_auto, string, string_uniq, text, time, timestamp_with_time_zone, uuid,
};
use sea_orm_migration::sea_orm::{EntityTrait, Set};

use super::entity::genre;

pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Catalogue), Box::new(Labels), Box::new(Items), Box::new(Genres)]
    }
}

fn cascade(from: (&'static str, &'static str), to: &'static str) -> ForeignKeyCreateStatement {
    let mut key = ForeignKey::create();
    key.name(format!("fk-{}-{}", from.0, from.1))
        .from(from.0, from.1)
        .to(to, "id")
        .on_delete(ForeignKeyAction::Cascade);
    key
}

struct Catalogue;

impl MigrationName for Catalogue {
    fn name(&self) -> &str {
        "m20260101_catalogue"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Catalogue {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let artist = Table::create()
            .table("artist")
            .col(pk_auto("id"))
            .col(string_uniq("name"))
            .col(integer_null("born"))
            .to_owned();
        manager.create_table(artist).await?;
        let biography = Table::create()
            .table("biography")
            .col(pk_auto("id"))
            .col(text("text"))
            .col(integer("artist_id").unique_key().to_owned())
            .foreign_key(&mut cascade(("biography", "artist_id"), "artist"))
            .to_owned();
        manager.create_table(biography).await?;
        let album = Table::create()
            .table("album")
            .col(pk_auto("id"))
            .col(integer("artist_id"))
            .col(string("title"))
            .col(integer("year"))
            .col(integer("stock").default(0).to_owned())
            .foreign_key(&mut cascade(("album", "artist_id"), "artist"))
            .to_owned();
        manager.create_table(album).await?;
        let genre = Table::create().table("genre").col(pk_auto("id")).col(string_uniq("name")).to_owned();
        manager.create_table(genre).await?;
        let album_genre = Table::create()
            .table("album_genre")
            .col(integer("album_id"))
            .col(integer("genre_id"))
            .primary_key(Index::create().col("album_id").col("genre_id"))
            .foreign_key(&mut cascade(("album_genre", "album_id"), "album"))
            .foreign_key(&mut cascade(("album_genre", "genre_id"), "genre"))
            .to_owned();
        manager.create_table(album_genre).await?;
        manager.create_index(Index::create().name("album-year").table("album").col("year").to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["album_genre", "genre", "album", "biography", "artist"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

struct Labels;

impl MigrationName for Labels {
    fn name(&self) -> &str {
        "m20260102_labels"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Labels {
    /// In two transactions of its own.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let first = manager.begin().await?;
        let label = Table::create()
            .table("label")
            .col(pk_auto("id"))
            .col(string("name"))
            .col(integer_null("parent_id"))
            .col(integer("saved"))
            .to_owned();
        first.create_table(label).await?;
        first.commit().await?;
        let second = manager.begin().await?;
        let track = Table::create()
            .table("track")
            .col(integer("label_id"))
            .col(integer("number"))
            .col(string("title"))
            .col(big_integer("plays"))
            .primary_key(Index::create().col("label_id").col("number"))
            .foreign_key(&mut cascade(("track", "label_id"), "label"))
            .to_owned();
        second.create_table(track).await?;
        second.commit().await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE track; DROP TABLE label").await?;
        Ok(())
    }
}

struct Items;

impl MigrationName for Items {
    fn name(&self) -> &str {
        "m20260103_items"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Items {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let medium = extension::postgres::Type::create()
            .as_enum("medium")
            .values(["vinyl", "tape", "disc"])
            .to_owned();
        manager.create_type(medium).await?;
        let item = Table::create()
            .table("item")
            .col(uuid("id").primary_key().to_owned())
            .col(custom("medium", "medium").not_null().to_owned())
            .col(ColumnDef::new("other").custom("medium").to_owned())
            .col(custom("media", "medium[]").not_null().to_owned())
            .col(integer("grade"))
            .col(json_binary("size"))
            .col(json_binary("notes"))
            .col(array("words", ColumnType::Text))
            .col(ColumnDef::new("numbers").array(ColumnType::Integer).to_owned())
            .col(decimal_len("price", 10, 2))
            .col(date("bought"))
            .col(time("at"))
            .col(timestamp_with_time_zone("seen"))
            .col(double("weight"))
            .col(binary("cover"))
            .col(big_integer("big"))
            .col(boolean("sold"))
            .to_owned();
        manager.create_table(item).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("item").to_owned()).await?;
        manager.drop_type(extension::postgres::Type::drop().name("medium").to_owned()).await
    }
}

struct Genres;

impl MigrationName for Genres {
    fn name(&self) -> &str {
        "m20260104_genres"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Genres {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let named = |name: &str| genre::ActiveModel { name: Set(name.to_owned()), ..Default::default() };
        genre::Entity::insert_many(["ambient", "folk", "jazz"].map(named))
            .exec(manager.get_connection())
            .await?;
        let insert =
            Query::insert().into_table("genre").columns(["name"]).values_panic(["opera".into()]).to_owned();
        manager.execute(insert).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        genre::Entity::delete_many().exec(manager.get_connection()).await?;
        Ok(())
    }
}
