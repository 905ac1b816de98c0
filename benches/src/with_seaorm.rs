//! What routing costs under SeaORM: the same statements through a plain connection and through a routed one.
//!
//! Reads of both go to the same standby, and writes to the same primary. The plain connection does not ping before each use either: with SeaORM's default it
//! would be slower than the routed one.

use std::alloc::System;
use std::hint::black_box;

use rr_seaorm::RoutedConnection;
use rr_tests::cluster::Node;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr,
    EntityTrait, JoinType, QueryFilter, QuerySelect, RelationTrait, Statement, TransactionTrait,
};
use stats_alloc::StatsAlloc;

use crate::report::Report;
use crate::side_by_side::{Comparison, Rounds};
use crate::with_diesel::{PAIRS, SETUP, ratios};
use crate::{Error, servers};

mod author {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "author")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(super) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod book {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "book")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub author_id: i32,
        pub title: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(super) enum Relation {
        #[sea_orm(
            belongs_to = "super::author::Entity",
            from = "Column::AuthorId",
            to = "super::author::Column::Id"
        )]
        Author,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

async fn one(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    black_box(db.query_one_raw(Statement::from_string(DbBackend::Postgres, "SELECT 1")).await?);
    Ok(())
}

async fn join(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    let books = book::Entity::find().join(JoinType::InnerJoin, book::Relation::Author.def());
    let rows = books
        .select_only()
        .columns([book::Column::Id, book::Column::Title])
        .column(author::Column::Name)
        .filter(author::Column::Id.eq(7))
        .into_tuple::<(i32, String, String)>();
    black_box(rows.all(db).await?);
    Ok(())
}

pub(crate) async fn write(db: &impl ConnectionTrait, id: i32) -> Result<(), DbErr> {
    let update =
        author::Entity::update_many().col_expr(author::Column::Name, Expr::col(author::Column::Name));
    black_box(update.filter(author::Column::Id.eq(id)).exec(db).await?);
    Ok(())
}

pub(crate) async fn find(db: &impl ConnectionTrait, id: i32) -> Result<(), DbErr> {
    black_box(author::Entity::find_by_id(id).one(db).await?);
    Ok(())
}

async fn transaction(db: &impl TransactionTrait) -> Result<(), DbErr> {
    use sea_orm::TransactionSession;
    let transaction = db.begin().await?;
    black_box(author::Entity::find_by_id(8).one(&transaction).await?);
    write(&transaction, 8).await?;
    transaction.commit().await
}

/// A connection that pings before each use, as is SeaORM's default, or does not.
pub(crate) async fn plain(url: String, ping: bool) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    options.test_before_acquire(ping);
    Database::connect(options).await
}

pub(crate) async fn run(
    allocator: &'static StatsAlloc<System>,
    measured: u32,
    quick: bool,
) -> Result<Report, Error> {
    let rounds = Rounds::of(measured, if quick { 2 } else { PAIRS });
    let cluster = servers::boot().await?;
    let [primary, standby] = [cluster.primary(), cluster.replica(1)?].map(Node::direct_url);
    cluster.primary().sql(SETUP).await?;
    cluster.wait_caught_up(servers::PATIENCE).await?;

    /// Both connections in turn.
    macro_rules! compare {
        ($comparison:ident, $plain:expr, $routed:expr) => {
            $comparison.measure(async || Ok($plain.await?), async || Ok($routed.await?)).await?
        };
    }
    let new = |name| Comparison::new(name, allocator, rounds);
    // Not the same settings: what an application gains that has left SeaORM's default, a ping before each use.
    let mut unpinged = new("and no ping")?;
    let (mut selects, mut joins) = (new("SELECT 1")?, new("join, 20 rows")?);
    let (mut updates, mut transactions) = (new("write")?, new("transaction")?);
    for _ in 0..rounds.pairs {
        let routed = RoutedConnection::connect_nodes(primary.clone(), [standby.clone()]).await?;
        let reads = plain(standby.clone(), false).await?;
        let writes = plain(primary.clone(), false).await?;
        let pinged = plain(standby.clone(), true).await?;
        compare!(unpinged, one(&pinged), one(&routed));
        compare!(selects, one(&reads), one(&routed));
        compare!(joins, join(&reads), join(&routed));
        compare!(updates, write(&writes, 7), write(&routed, 7));
        compare!(transactions, transaction(&writes), transaction(&routed));
    }
    let unpinged = unpinged.ratio();
    let (one, join, write, transaction) =
        (selects.ratio(), joins.ratio(), updates.ratio(), transactions.ratio());
    let read = one.max(join);
    let mut report = Report::default();
    report.chart(ratios("SeaORM", one, join, write, transaction));
    report.line(None, &[("seaorm_unpinged_ratio", unpinged, 3)]);
    report.line(
        None,
        &[
            ("seaorm_read_ratio", read, 3),
            ("seaorm_tx_ratio", transaction, 3),
            ("seaorm_write_ratio", write, 3),
        ],
    );
    Ok(report)
}
