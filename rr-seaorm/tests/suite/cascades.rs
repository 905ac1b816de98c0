//! Records with what hangs on them, saved and deleted by SeaORM: all of it runs on the primary.

use sea_orm::{EntityLoaderTrait, EntityTrait, PaginatorTrait};

use crate::support::{PATIENCE, Result, boot, connect, on_standby, until};

mod shelf {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "shelf")]
    pub(crate) struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
        #[sea_orm(has_many)]
        pub books: HasMany<super::book::Entity>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

mod book {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "book")]
    pub(crate) struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub shelf_id: i32,
        #[sea_orm(belongs_to, from = "shelf_id", to = "id", on_delete = "Cascade")]
        pub shelf: BelongsTo<super::shelf::Entity>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// The server cascades nothing, and writes down where each statement ran.
const TABLES: &str = "\
    CREATE TABLE shelf (id serial PRIMARY KEY, name text NOT NULL); \
    CREATE TABLE book (id serial PRIMARY KEY, shelf_id int NOT NULL REFERENCES shelf); \
    CREATE TABLE trace (what text, port int); CREATE FUNCTION traced() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN INSERT INTO trace VALUES (TG_OP || ' ' || TG_TABLE_NAME, on_port()); RETURN NULL; END $$; \
    CREATE TRIGGER traced AFTER INSERT OR DELETE ON shelf FOR EACH ROW EXECUTE FUNCTION traced(); \
    CREATE TRIGGER traced AFTER INSERT OR DELETE ON book FOR EACH ROW EXECUTE FUNCTION traced()";

#[tokio::test]
async fn what_hangs_on_a_record_is_saved_and_deleted_on_the_primary() -> Result {
    let cluster = boot(1).await?;
    let primary = cluster.primary();
    primary.sql(TABLES).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let db = &connect(&cluster).await?;
    for how in ["by its model", "loaded", "saved"] {
        let saved = shelf::ActiveModel::builder()
            .set_name(how)
            .add_book(book::ActiveModel::builder())
            .add_book(book::ActiveModel::builder())
            .save(db)
            .await?;
        until("the standby to serve", async || Ok(on_standby(db).await?)).await?;
        assert_eq!(book::Entity::find().count(db).await?, 2, "{how}");
        let id = saved.id.clone().unwrap();
        let gone = match how {
            "by its model" => {
                let model = shelf::Entity::find_by_id(id).one(db).await?.ok_or(how)?;
                model.cascade_delete(db).await?
            }
            "loaded" => {
                let loaded = shelf::Entity::load().filter_by_id(id).one(db).await?.ok_or(how)?;
                loaded.delete(db).await?
            }
            _ => saved.delete(db).await?,
        };
        assert_eq!(gone.rows_affected, 3, "{how}");
        let left = (shelf::Entity::find().count(db).await?, book::Entity::find().count(db).await?);
        assert_eq!(left, (0, 0), "{how}");
    }
    let counted = "SELECT string_agg(what || ' ' || n, ', ' ORDER BY what) FROM \
                   (SELECT what, count(*) AS n FROM trace WHERE port = current_setting('port')::int GROUP BY what) c";
    let expected = "DELETE book 6, DELETE shelf 3, INSERT book 6, INSERT shelf 3";
    assert_eq!(primary.query_text(counted).await?, expected);
    let log = cluster.replica(1)?.log();
    assert!(!log.contains("read-only transaction"), "no write was tried on the standby: {log}");
    Ok(())
}
