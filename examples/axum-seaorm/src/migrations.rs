//! The database is brought up to date when a process starts.
#![expect(elided_lifetimes_in_paths, reason = "the trait of migrations is written so")]

use rr_example::BoxError;
use rr_seaorm::RoutedConnection;
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{integer, pk_auto, string_uniq, text};
use sea_orm_migration::sea_orm::TransactionTrait;

/// Several processes may start at once, and only one at a time may do this: the lock lasts as long as the transaction.
pub(crate) async fn run(db: &RoutedConnection) -> Result<(), BoxError> {
    let transaction = db.begin().await?;
    transaction.execute_unprepared("SELECT pg_advisory_xact_lock(20261121)").await?;
    Migrator::up(&transaction, None).await?;
    Ok(transaction.commit().await?)
}

struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Notes)]
    }
}

struct Notes;

impl MigrationName for Notes {
    fn name(&self) -> &str {
        "m20261121_notes"
    }
}

fn to(table: &'static str) -> impl Fn(&'static str, &'static str) -> ForeignKeyCreateStatement {
    move |from, column| ForeignKey::create().from(from, column).to(table, "id").to_owned()
}

#[async_trait::async_trait]
impl MigrationTrait for Notes {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let users = Table::create()
            .table("users")
            .col(pk_auto("id"))
            .col(string_uniq("name"))
            .col(integer("balance").default(0).to_owned())
            .to_owned();
        manager.create_table(users).await?;
        let notes = Table::create()
            .table("notes")
            .col(pk_auto("id"))
            .col(integer("author_id"))
            .col(text("title"))
            .col(text("body"))
            .col(integer("revision").default(1).to_owned())
            .col(integer("views").default(0).to_owned())
            .foreign_key(&mut to("users")("notes", "author_id"))
            .to_owned();
        manager.create_table(notes).await?;
        let author = Index::create().name("notes_author").table("notes").col("author_id").to_owned();
        manager.create_index(author).await?;
        let tags = Table::create().table("tags").col(pk_auto("id")).col(string_uniq("name")).to_owned();
        manager.create_table(tags).await?;
        let note_tags = Table::create()
            .table("note_tags")
            .col(integer("note_id"))
            .col(integer("tag_id"))
            .primary_key(Index::create().col("note_id").col("tag_id"))
            .foreign_key(&mut to("notes")("note_tags", "note_id"))
            .foreign_key(&mut to("tags")("note_tags", "tag_id"))
            .to_owned();
        manager.create_table(note_tags).await?;
        manager.create_table(Table::create().table("trials").col(pk_auto("id")).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["trials", "note_tags", "tags", "notes", "users"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
