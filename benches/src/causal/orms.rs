//! The two ORMs, as the load uses them.

use diesel::prelude::*;
use diesel_async::pooled_connection::bb8::Pool;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rr_core::Config;
use rr_diesel::RoutedPool;
use rr_seaorm::RoutedConnection;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::Seen;
use crate::Error;

/// Rows with versions.
pub(crate) trait Notes: Clone + 'static {
    /// What the row is at, by whomever answers.
    async fn read(&self, row: i32, on_primary: bool) -> Result<Seen, Error>;

    async fn write(&self, row: i32, version: i64) -> Result<(), Error>;
}

#[derive(Clone)]
pub(crate) struct Diesel(RoutedPool);

impl Diesel {
    pub(crate) async fn start(config: Config) -> Result<Self, Error> {
        Ok(Self(RoutedPool::start(config).await?))
    }
}

diesel::table! {
    note (id) {
        id -> Integer,
        version -> BigInt,
    }
}

diesel::table! {
    /// The same, with who says it.
    seen (id) {
        id -> Integer,
        version -> BigInt,
        standby -> Bool,
    }
}

/// Pools of plain connections, as an application has them without rr.
#[derive(Clone)]
pub(crate) struct Pools {
    pub(crate) writes: Pool<AsyncPgConnection>,
    /// Each read is by any of these.
    pub(crate) reads: Vec<Pool<AsyncPgConnection>>,
}

impl Notes for Pools {
    async fn read(&self, row: i32, on_primary: bool) -> Result<Seen, Error> {
        let any = fastrand::choice(&self.reads).ok_or("no pool")?;
        let mut conn = if on_primary { &self.writes } else { any }.get().await?;
        let found = seen::table.find(row).select((seen::version, seen::standby));
        let (version, standby) = found.first(&mut *conn).await?;
        Ok(Seen { version, standby })
    }

    async fn write(&self, row: i32, version: i64) -> Result<(), Error> {
        let mut conn = self.writes.get().await?;
        diesel::update(note::table.find(row)).set(note::version.eq(version)).execute(&mut *conn).await?;
        Ok(())
    }
}

impl Notes for Diesel {
    async fn read(&self, row: i32, on_primary: bool) -> Result<Seen, Error> {
        let mut conn = self.0.get().await?;
        if on_primary {
            conn.use_primary();
        }
        let found = seen::table.find(row).select((seen::version, seen::standby));
        let (version, standby) = found.first(&mut conn).await?;
        Ok(Seen { version, standby })
    }

    async fn write(&self, row: i32, version: i64) -> Result<(), Error> {
        let mut conn = self.0.get().await?;
        diesel::update(note::table.find(row)).set(note::version.eq(version)).execute(&mut conn).await?;
        Ok(())
    }
}

mod note_entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "note")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(super) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod seen_entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "seen")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub version: i64,
        pub standby: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(super) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A handle, and one whose statements all go to the primary.
#[derive(Clone)]
pub(crate) struct SeaOrm(RoutedConnection, RoutedConnection);

impl SeaOrm {
    pub(crate) async fn start(config: Config) -> Result<Self, Error> {
        let routed = RoutedConnection::start(config).await?;
        let primary = routed.use_primary();
        Ok(Self(routed, primary))
    }
}

impl Notes for SeaOrm {
    async fn read(&self, row: i32, on_primary: bool) -> Result<Seen, Error> {
        let db = if on_primary { &self.1 } else { &self.0 };
        let found = seen_entity::Entity::find_by_id(row).one(db).await?.ok_or("the row is gone")?;
        Ok(Seen { version: found.version, standby: found.standby })
    }

    async fn write(&self, row: i32, version: i64) -> Result<(), Error> {
        let update = note_entity::Entity::update_many().filter(note_entity::Column::Id.eq(row));
        update.col_expr(note_entity::Column::Version, Expr::value(version)).exec(&self.0).await?;
        Ok(())
    }
}
