//! Queries, loaders and handles that say where they want to go: which server was asked, by the servers' own logs.

use futures_util::TryStreamExt;
use plain_sea_orm::sea_query::Query;
use plain_sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, EntityLoaderTrait, EntityTrait, FromQueryResult, LoaderTrait,
    PaginatorTrait, QueryOrder, QuerySelect, SelectExt, Statement, StreamTrait, TransactionTrait,
};
use record_shop_routed::entity::{album, album_genre, artist, biography, genre};
use record_shop_routed::reading::Named;
use record_shop_routed::schema::Name;
use rr_core::config::NodeConfig;
use rr_seaorm::{RouteHints, RoutedConnection};
use rr_tests::wait::until;

use crate::served::{ann, shop};
use crate::support::{PATIENCE, Result, config};
use crate::witness::Witness;

/// A hint is a query's own: what a loader asks besides goes where the handle says.
#[tokio::test]
async fn loaders_run_each_query_where_it_asks_to_go() -> Result {
    let (cluster, db) = shop().await?;
    ann(&db).await?;
    let (db, on_primary) = (&db, &db.use_primary());
    let artists = artist::Entity::find().all(db).await?;
    let albums = album::Entity::find().order_by_asc(album::Column::Id).all(db).await?;
    let artist = || artist::Entity::find();
    let mut witness = Witness::new(&cluster);
    /// How many queries the primary and the standbys are asked.
    macro_rules! asks {
        ($($primary:literal, $standbys:literal => $operation:expr),+ $(,)?) => {$(
            assert!(!$operation.is_empty(), "{}", stringify!($operation));
            let asked = witness.since();
            let counts = (asked.primary.len(), asked.standbys.len());
            assert_eq!(counts, ($primary, $standbys), "{}: {asked:#?}", stringify!($operation));
        )+};
    }
    asks!(
        1, 0 => artists.load_one(biography::Entity::find().use_primary(), db).await?,
        0, 1 => artists.load_one(biography::Entity::find().use_replica(), on_primary).await?,
        1, 0 => artists.load_many(album::Entity::find().use_primary(), db).await?,
        0, 1 => artists.load_many(album::Entity::find().use_replica(), on_primary).await?,
        1, 0 => albums.load_many(genre::Entity::find().use_primary(), db).await?,
        0, 1 => albums.load_many(genre::Entity::find().use_replica(), on_primary).await?,
        // The second query is for the table in between.
        1, 1 => albums.load_many_to_many(genre::Entity::find().use_primary(), album_genre::Entity, db).await?,
        2, 0 => albums.load_many_to_many(genre::Entity, album_genre::Entity, on_primary).await?,
        0, 2 => albums.load_many_to_many(genre::Entity, album_genre::Entity, db).await?,
        1, 0 => artist::Entity::load().with(biography::Entity).use_primary().all(db).await?,
        1, 1 => artist::Entity::load().with(album::Entity).use_primary().all(db).await?,
        1, 2 => artist::Entity::load().with((album::Entity, genre::Entity)).use_primary().all(db).await?,
        2, 1 => artist::Entity::load().with((album::Entity, genre::Entity)).use_replica().all(on_primary).await?,
        3, 0 => artist::Entity::load().with((album::Entity, genre::Entity)).all(on_primary).await?,
        1, 0 => artist::Entity::load().use_primary().paginate(db, 5).fetch_page(0).await?,
        1, 0 => [artist::Entity::load().use_primary().paginate(db, 5).num_items().await?],
        1, 0 => artist().use_primary().find_with_related(album::Entity).all(db).await?,
        1, 0 => artist().find_with_related(album::Entity).use_primary().all(db).await?,
        0, 1 => artist().find_with_related(album::Entity).use_replica().all(on_primary).await?,
        1, 0 => artist().find_also_related(biography::Entity).use_primary().paginate(db, 5).fetch_page(0).await?,
    );
    Ok(())
}

#[tokio::test]
async fn every_kind_of_read_goes_to_the_group_that_the_handle_asks_for() -> Result {
    let (cluster, db) = shop().await?;
    ann(&db).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let big = NodeConfig::new(cluster.replica(2)?.url().as_str())?.with_name("big").with_group("analytics");
    let grouped = config(&cluster).with(|config| {
        config.replicas.pop();
        config.replicas.push(big);
    });
    let db = &RoutedConnection::start(grouped.build()?).await?.use_group("analytics");
    let artists = artist::Entity::find().all(db).await?;
    let albums = album::Entity::find().all(db).await?;
    let find = || artist::Entity::find();
    let text = || Statement::from_string(DbBackend::Postgres, "SELECT name FROM artist");
    let select = Query::select().column(artist::Column::Name).from(artist::Entity).to_owned();
    let mut witness = Witness::new(&cluster);
    let serves = async || {
        find().count(db).await?;
        Ok(!witness.by_node()[2].is_empty())
    };
    until("the group to serve", serves).await?;
    macro_rules! asks_the_group {
        ($($operation:expr),+ $(,)?) => {$(
            drop(Box::new($operation));
            let asked = witness.by_node();
            let alone = asked[0].is_empty() && asked[1].is_empty() && !asked[2].is_empty();
            assert!(alone, "{}: {asked:#?}", stringify!($operation));
        )+};
    }
    asks_the_group!(
        find().all(db).await?,
        find().one(db).await?,
        find().stream(db).await?.try_collect::<Vec<_>>().await?,
        find().count(db).await?,
        find().exists(db).await?,
        find().paginate(db, 5).fetch_page(0).await?,
        find().paginate(db, 5).num_items_and_pages().await?,
        find().paginate(db, 5).into_stream().try_collect::<Vec<_>>().await?,
        find().cursor_by(artist::Column::Id).first(5).all(db).await?,
        find().into_json().all(db).await?,
        find().into_json().stream(db).await?.try_collect::<Vec<_>>().await?,
        find().into_model::<Name>().all(db).await?.iter().map(|row| row.name.len()).sum::<usize>(),
        find().into_partial_model::<Named>().one(db).await?.map(|row| row.name),
        find().into_partial_model::<Named>().paginate(db, 5).fetch_page(0).await?.len(),
        find().select_only().column(artist::Column::Id).into_tuple::<i32>().all(db).await?,
        find()
            .select_only()
            .column(artist::Column::Id)
            .into_tuple::<i32>()
            .stream(db)
            .await?
            .try_collect::<Vec<_>>()
            .await?,
        find().find_also_related(biography::Entity).all(db).await?,
        find().find_also_related(biography::Entity).stream(db).await?.try_collect::<Vec<_>>().await?,
        find().find_with_related(album::Entity).all(db).await?,
        find()
            .from_raw_sql(Statement::from_string(DbBackend::Postgres, "SELECT * FROM artist"))
            .all(db)
            .await?,
        Name::find_by_statement(text()).all(db).await?.len(),
        artists.load_many(album::Entity, db).await?,
        albums.load_many_to_many(genre::Entity, album_genre::Entity, db).await?,
        artist::Entity::load().with((album::Entity, genre::Entity)).all(db).await?,
        db.query_all(&select).await?,
        db.query_one_raw(text()).await?,
        db.execute_unprepared("SELECT name FROM artist").await?,
        db.stream_raw(text()).await?.try_collect::<Vec<_>>().await?,
        async {
            let transaction = db.begin_with_config(None, Some(AccessMode::ReadOnly)).await?;
            find().all(&transaction).await?;
            transaction.commit().await
        }
        .await?,
    );
    // Where the query asks for the primary it gets it, and what writes has no group.
    find().use_primary().all(db).await?;
    genre::Entity::delete_many().exec(db).await?;
    let asked = witness.by_node();
    assert_eq!((asked[0].len(), asked[1].len(), asked[2].len()), (2, 0, 0), "{asked:#?}");
    Ok(())
}
