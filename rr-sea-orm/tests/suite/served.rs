//! Which server each operation runs on, by the servers' own logs.
//!
//! Standbys alone serve reads, so that no fallback hides where one belongs.

use plain_sea_orm::ActiveValue::Set;
use plain_sea_orm::sea_query::{
    ColumnDef, CommonTableExpression, Expr, ExprTrait, Index, Query, Table, WithClause,
};
use plain_sea_orm::{
    AccessMode, ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityLoaderTrait, EntityTrait, LoaderTrait,
    ModelTrait, PaginatorTrait, QueryFilter, QueryOrder, StreamTrait, TransactionTrait,
};
use record_shop_routed::entity::{REGISTRY, album, album_genre, artist, biography, genre, label, track};
use record_shop_routed::migration::Migrator;
use rr_core::config::ReadPreference;
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::Cluster;
use rr_tests::wait::until;
use sea_orm_migration::MigratorTrait;

use crate::support::{PATIENCE, Result, config, logging};
use crate::witness::Witness;

macro_rules! runs_on {
    ($there:ident and not on $elsewhere:ident, says $witness:expr; $($operation:expr),+ $(,)?) => {$(
        drop(Box::new($operation));
        let asked = $witness.since();
        let (there, elsewhere) = (asked.$there.len(), asked.$elsewhere);
        assert!(there > 0 && elsewhere.is_empty(), "{}: {there}, but {elsewhere:#?}", stringify!($operation));
    )+};
}

/// A cluster with the shop's tables, and a handle whose reads standbys alone serve.
pub(crate) async fn shop() -> Result<(Cluster, RoutedConnection)> {
    let cluster = logging(2).start().await?;
    let strict = config(&cluster).read_preference(ReadPreference::Replica).causal_wait(PATIENCE);
    let db = RoutedConnection::start(strict.build()?).await?;
    Migrator::up(&db, None).await?;
    Ok((cluster, db))
}

/// An artist with two albums, one of them of a genre: all of it in one transaction.
pub(crate) async fn ann(db: &RoutedConnection) -> Result {
    artist::ActiveModel::builder()
        .set_name("Ann")
        .set_biography(biography::ActiveModel::builder().set_text("sings"))
        .add_album(album("blue").add_genre(genre::ActiveModel::builder().set_name("blues")))
        .add_album(album("green"))
        .save(db)
        .await?;
    Ok(())
}

/// A label with a track, that belongs to another label.
pub(crate) async fn owned(db: &RoutedConnection) -> Result<label::Model> {
    let label = |name: &str, parent_id: Option<i32>| label::ActiveModel {
        name: Set(name.to_owned()),
        parent_id: Set(parent_id),
        ..Default::default()
    };
    let owner = label("Owner", None).insert(db).await?;
    let owned = label("Owned", Some(owner.id)).insert(db).await?;
    let (label_id, title) = (Set(owned.id), Set("one".to_owned()));
    track::ActiveModel { label_id, number: Set(1), title, plays: Set(1) }.insert(db).await?;
    Ok(owned)
}

fn album(title: &str) -> album::ActiveModelEx {
    album::ActiveModel::builder().set_title(title).set_year(1971).set_stock(3)
}

#[tokio::test]
async fn what_reads_several_entities_runs_on_standbys() -> Result {
    let (cluster, db) = shop().await?;
    let db = &db;
    ann(db).await?;
    owned(db).await?;
    let artists = artist::Entity::find().all(db).await?;
    let albums = album::Entity::find().order_by_asc(album::Column::Id).all(db).await?;
    let genres = genre::Entity::find().all(db).await?;
    let labels = label::Entity::find().order_by_asc(label::Column::Id).all(db).await?;
    let mut witness = Witness::new(&cluster);
    let linked = || label::Entity::find().order_by_asc(label::Column::Id);
    runs_on!(standbys and not on primary, says witness;
        artists.load_one(biography::Entity, db).await?,
        artists.load_many(album::Entity, db).await?,
        albums.load_one(artist::Entity, db).await?,
        albums.load_many(genre::Entity, db).await?,
        albums.load_many_to_many(genre::Entity, album_genre::Entity, db).await?,
        genres.load_many_to_many(album::Entity::find(), album_genre::Entity, db).await?,
        labels.load_self(label::Entity, label::Relation::Parent, db).await?,
        labels.load_self_many(label::Entity, label::Relation::Parent, db).await?,
        artist::Entity::load().all(db).await?,
        artist::Entity::load().with(biography::Entity).with((album::Entity, genre::Entity)).all(db).await?,
        artist::Entity::load().filter_by_id(1).with(album::Entity).one(db).await?,
        album::Entity::load().with(genre::Entity).paginate(db, 1).fetch_page(0).await?,
        album::Entity::load().with(genre::Entity).paginate(db, 1).num_items().await?,
        artists[0].find_related(album::Entity).all(db).await?,
        albums[0].find_related(genre::Entity).count(db).await?,
        artist::Entity::find().find_also_related(biography::Entity).all(db).await?,
        album::Entity::find().find_both_related(artist::Entity).all(db).await?,
        artist::Entity::find().find_with_related(album::Entity).all(db).await?,
        album::Entity::find().find_with_related(genre::Entity).all(db).await?,
        album::Entity::find().find_also_related(artist::Entity).paginate(db, 1).fetch_page(0).await?,
        artist::Entity::find()
            .find_also_related(album::Entity)
            .find_also(artist::Entity, biography::Entity)
            .all(db)
            .await?,
        labels[1].find_linked(label::Owner).one(db).await?,
        linked().find_also_linked(label::Owner).all(db).await?,
        linked().find_with_linked(label::Owner).all(db).await?,
        linked().find_with_related(track::Entity).all(db).await?,
        artist::Entity::find_by_name("Ann").one(db).await?,
        track::Entity::find().cursor_by((track::Column::LabelId, track::Column::Number)).first(2).all(db).await?,
        async {
            let transaction = db.begin_with_config(None, Some(AccessMode::ReadOnly)).await?;
            artists.load_many(album::Entity, &transaction).await?;
            transaction.commit().await
        }
        .await?,
    );
    // What was read is what is there.
    let loaded = artist::Entity::load().with(biography::Entity).with((album::Entity, genre::Entity));
    let ann = loaded.one(db).await?.ok_or("Ann")?;
    assert_eq!(ann.albums[0].genres[0].name, "blues");
    let owned = linked().find_with_linked(label::Owner).all(db).await?;
    assert_eq!(owned.iter().map(|(_, owners)| owners.len()).sum::<usize>(), 1);
    Ok(())
}

/// The builders of `sea_query`, run by the methods of the connection.
#[tokio::test]
async fn statements_that_are_built_by_hand_run_where_they_belong() -> Result {
    let (cluster, db) = shop().await?;
    let db = &db;
    let name = || genre::Column::Name;
    let insert = |new: &str| {
        let columns = Query::insert().into_table(genre::Entity).columns([name()]).to_owned();
        { columns }.values_panic([new.into()]).returning_all().to_owned()
    };
    let update = |to: &str| {
        let set = Query::update().table(genre::Entity).value(name(), to).to_owned();
        { set }.and_where(Expr::col(name()).eq("folk")).returning_all().to_owned()
    };
    let delete = |which: &str| {
        let from =
            Query::delete().from_table(genre::Entity).and_where(Expr::col(name()).eq(which)).to_owned();
        { from }.returning_all().to_owned()
    };
    let select = || Query::select().column(name()).from(genre::Entity).to_owned();
    let with =
        |mut cte: CommonTableExpression| WithClause::new().cte(cte.table_name("some").to_owned()).to_owned();
    let some = || Query::select().column(name()).from("some").to_owned();
    let mut witness = Witness::new(&cluster);
    runs_on!(primary and not on standbys, says witness;
        db.execute(&insert("a")).await?,
        db.query_one(&insert("b")).await?,
        db.query_all(&insert("c")).await?,
        rows(db.stream(&insert("d")).await?).await?,
        db.execute(&update("folk")).await?,
        db.query_one(&update("folk")).await?,
        db.query_all(&update("folk")).await?,
        rows(db.stream(&update("folk")).await?).await?,
        db.execute(&delete("a")).await?,
        db.query_one(&delete("b")).await?,
        db.query_all(&delete("c")).await?,
        rows(db.stream(&delete("d")).await?).await?,
        // Its text alone says that it writes.
        db.query_all(&some().with(with(CommonTableExpression::new().query(insert("e")).to_owned()))).await?,
        db.query_all(&select().lock_exclusive().to_owned()).await?,
        db.execute(Table::create().table("shelf").col(ColumnDef::new("id").integer())).await?,
        db.execute(Table::alter().table("shelf").add_column(ColumnDef::new("of").integer())).await?,
        db.execute(Index::create().name("shelf-of").table("shelf").col("of")).await?,
        db.execute(Table::truncate().table("shelf")).await?,
        db.execute(Table::rename().table("shelf", "board")).await?,
        db.execute(Table::drop().table("board")).await?,
        async {
            let transaction = db.begin().await?;
            transaction.query_all(&select()).await?;
            transaction.query_one(&insert("f")).await?;
            transaction.commit().await
        }
        .await?,
    );
    runs_on!(standbys and not on primary, says witness;
        db.execute(&select()).await?,
        db.query_one(&select()).await?,
        db.query_all(&select()).await?,
        rows(db.stream(&select()).await?).await?,
        db.query_all(&some().with(with(CommonTableExpression::new().query(select()).to_owned()))).await?,
        db.query_all(&Query::select().expr(Expr::exists(select())).to_owned()).await?,
    );
    let names: Vec<_> = genre::Entity::find().order_by_asc(name()).all(db).await?;
    let names: Vec<_> = names.iter().map(|genre| genre.name.as_str()).collect();
    assert_eq!(names, ["ambient", "e", "f", "folk", "jazz", "opera"]);
    Ok(())
}

async fn rows(stream: impl futures_util::TryStream<Error = plain_sea_orm::DbErr>) -> Result<usize> {
    use futures_util::TryStreamExt;
    Ok(stream.map_ok(drop).try_collect::<Vec<_>>().await?.len())
}

#[tokio::test]
async fn what_hangs_on_a_record_is_written_on_the_primary() -> Result {
    let (cluster, db) = shop().await?;
    let db = &db;
    let owned = owned(db).await?;
    let mut witness = Witness::new(&cluster);
    runs_on!(primary and not on standbys, says witness; ann(db).await?);
    let ann = artist::Entity::find_by_name("Ann").one(db).await?.ok_or("Ann")?;
    let green =
        album::Entity::find().filter(album::Column::Title.eq("green")).one(db).await?.ok_or("green")?;
    witness.since();
    runs_on!(primary and not on standbys, says witness;
        green.cascade_delete(db).await?,
        ann.cascade_delete(db).await?,
        owned.delete(db).await?,
    );
    assert_eq!(artist::Entity::find().count(db).await?, 0);
    assert_eq!((album::Entity::find().count(db).await?, track::Entity::find().count(db).await?), (0, 0));
    Ok(())
}

#[tokio::test]
async fn migrations_and_schemas_are_changed_on_the_primary() -> Result {
    let (cluster, db) = shop().await?;
    let db = &db;
    let mut witness = Witness::new(&cluster);
    runs_on!(primary and not on standbys, says witness;
        Migrator::down(db, Some(1)).await?,
        Migrator::up(db, None).await?,
        Migrator::refresh(db).await?,
        Migrator::fresh(db).await?,
        Migrator::reset(db).await?,
        Migrator::uninstall(db).await?,
        Migrator::install(db).await?,
        db.get_schema_registry(REGISTRY).apply(db).await?,
        db.get_schema_registry(REGISTRY).sync(db).await?,
        db.get_schema_builder().register(artist::Entity).sync(db).await?,
    );
    Ok(())
}

/// They make sure of their table first, on the primary, so that what others migrated before is read, from wherever.
#[tokio::test]
async fn migrations_of_others_are_seen_while_replay_is_paused() -> Result {
    let cluster = logging(1).start().await?;
    let db = &RoutedConnection::start(config(&cluster).build()?).await?;
    let others = record_shop::database::Database::connect(cluster.primary().url()).await?;
    Migrator::up(&others, Some(1)).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let mut witness = Witness::new(&cluster);
    let serves = async || {
        artist::Entity::find().count(db).await?;
        Ok(!witness.since().standbys.is_empty())
    };
    until("the standby to serve", serves).await?;
    cluster.replica(1)?.pause_replay().await?;
    Migrator::up(&others, None).await?;
    assert_eq!(Migrator::get_pending_migrations(db).await?.len(), 0);
    Migrator::status(db).await?;
    assert_eq!(Migrator::get_applied_migrations(db).await?.len(), 4);
    assert_eq!(Migrator::get_pending_migrations_read_only(&db.use_primary()).await?.len(), 0);
    let asked = witness.since();
    assert!(asked.standbys.is_empty(), "{asked:#?}");
    Ok(())
}
