//! Reads of several entities at once, and of what is no entity: where they run, as the rows themselves tell.

use rr_core::Connector as _;
use rr_seaorm::RoutedConnection;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, DerivePartialModel, EntityTrait, FromQueryResult, LoaderTrait, QueryFilter};

use crate::support::{PATIENCE, Result, ask, boot, connect, note, notes, raw};

mod shelf {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "shelf")]
    pub(crate) struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {
        #[sea_orm(has_many = "super::item::Entity")]
        Item,
    }

    impl Related<super::item::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::Item.def()
        }
    }

    impl ActiveModelBehavior for ActiveModel {}
}

mod item {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "item")]
    pub(crate) struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub shelf_id: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {
        #[sea_orm(
            belongs_to = "super::shelf::Entity",
            from = "Column::ShelfId",
            to = "super::shelf::Column::Id"
        )]
        Shelf,
    }

    impl Related<super::shelf::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::Shelf.def()
        }
    }

    impl ActiveModelBehavior for ActiveModel {}
}

#[derive(DerivePartialModel)]
#[sea_orm(entity = "item::Entity")]
struct Part {
    shelf_id: i32,
}

/// As many shelves and items as `seen` has rows: two on a standby, one on the primary.
const VIEWS: &str =
    "CREATE VIEW shelf AS SELECT id FROM seen; CREATE VIEW item AS SELECT id, id AS shelf_id FROM seen";

#[tokio::test]
async fn relations_and_parts_are_read_from_a_standby() -> Result {
    let cluster = boot(1).await?;
    cluster.primary().sql(VIEWS).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let db = &connect(&cluster).await?;
    assert_eq!(reads(db).await?, [2; 9]);
    assert_eq!(reads(&db.use_primary()).await?, [1; 9]);
    assert_eq!(db.router().connector().misroutes(), Some(0));
    Ok(())
}

/// How many rows each kind of read has found.
async fn reads(db: &RoutedConnection) -> Result<[usize; 9]> {
    let shelves: Vec<_> = [1, 2].map(|id| shelf::Model { id }).into();
    let items: Vec<_> = [1, 2].map(|id| item::Model { id, shelf_id: id }).into();
    let parts = item::Entity::find().into_partial_model::<Part>().all(db).await?;
    let with = shelf::Entity::find().find_with_related(item::Entity).all(db).await?;
    Ok([
        items.load_one(shelf::Entity, db).await?.into_iter().flatten().count(),
        shelves.load_many(item::Entity, db).await?.into_iter().flatten().count(),
        with.len(),
        with.iter().map(|(_, items)| items.len()).sum(),
        item::Entity::find()
            .find_also_related(shelf::Entity)
            .all(db)
            .await?
            .into_iter()
            .flat_map(|row| row.1)
            .count(),
        shelf::Entity::find().inner_join(item::Entity).all(db).await?.len(),
        parts.iter().filter(|part| part.shelf_id > 0).count(),
        shelf::Model::find_by_statement(raw("SELECT id FROM shelf")).all(db).await?.len(),
        shelf::Entity::find().from_raw_sql(raw("SELECT id FROM shelf")).all(db).await?.len(),
    ])
}

#[tokio::test]
async fn an_upsert_and_what_hangs_on_a_row_are_written_on_the_primary_and_read() -> Result {
    let cluster = boot(1).await?;
    cluster.primary().sql("CREATE TABLE mark (note bigint REFERENCES note ON DELETE CASCADE)").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let db = &connect(&cluster).await?;
    let same =
        |text: &str| note::ActiveModel { id: Set(1), text: Set(text.to_owned()), ..Default::default() };
    let update = OnConflict::column(note::Column::Id).update_column(note::Column::Text).to_owned();
    for text in ["inserted", "updated"] {
        note::Entity::insert(same(text)).on_conflict(update.clone()).exec(db).await?;
        let found = note::Entity::find().filter(note::Column::Text.eq(text)).all(db).await?;
        assert_eq!(found.len(), 1, "{text}");
    }
    assert_eq!(notes(db).await?, 1);
    cluster.primary().sql("INSERT INTO mark VALUES (1)").await?;
    note::Entity::delete_by_id(1).exec(db).await?;
    assert_eq!(ask::<i64>(db, "SELECT count(*) FROM mark").await?, 0, "it went with its note");
    let log = cluster.replica(1)?.log_tail();
    assert!(!log.contains("read-only transaction"), "no write was tried on the standby: {log}");
    Ok(())
}
