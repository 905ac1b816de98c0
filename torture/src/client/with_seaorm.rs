//! SeaORM.

use rr_seaorm::{RoutedConnection, outcome_unknown};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, TransactionTrait};

use super::{Failure, Found, number, parse};
use crate::history::{Item, Key, Seen};

mod register {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "register")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: i32,
        /// An array, which is never read like this.
        pub items: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(super) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod ends {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "ends")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: i32,
        pub version: i32,
        pub item: i64,
        pub standby: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(super) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod lists {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "lists")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: i32,
        pub items: String,
        pub standby: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(super) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) async fn append(
    db: &RoutedConnection,
    key: Key,
    item: Item,
    transaction: bool,
) -> Result<(), Failure> {
    let key = i32::try_from(key).map_err(|error| Failure::Certain(error.to_string()))?;
    let done = match transaction {
        true => in_transaction(db, key, item).await,
        false => one(db, key, item).await,
    };
    match done {
        Ok(1) => Ok(()),
        Ok(rows) => Err(Failure::Certain(format!("{rows} rows"))),
        Err(error) if outcome_unknown(&error).is_some() => Err(Failure::Unknown(error.to_string())),
        Err(error) => Err(Failure::Certain(error.to_string())),
    }
}

async fn in_transaction(db: &RoutedConnection, key: i32, item: Item) -> Result<u64, DbErr> {
    let transaction = db.begin().await?;
    let rows = one(&transaction, key, item).await?;
    transaction.commit().await?;
    Ok(rows)
}

async fn one(db: &impl ConnectionTrait, key: i32, item: Item) -> Result<u64, DbErr> {
    let update = register::Entity::update_many().filter(register::Column::Key.eq(key));
    let longer = Expr::cust_with_values("items || $1", [item]);
    Ok(update.col_expr(register::Column::Items, longer).exec(db).await?.rows_affected)
}

pub(super) async fn ends(db: &RoutedConnection) -> Result<Found<Seen>, String> {
    let rows = ends::Entity::find().order_by_asc(ends::Column::Key).all(db).await;
    let row = |row: ends::Model| {
        let seen = Seen { key: number(row.key)?, version: number(row.version)?, item: row.item };
        Ok((seen, row.standby))
    };
    let rows = rows.map_err(|error| error.to_string())?.into_iter().map(row);
    Ok(Found::new(rows.collect::<Result<_, String>>()?))
}

pub(super) async fn lists(db: &RoutedConnection, keys: &[Key]) -> Result<Found<(Key, Vec<Item>)>, String> {
    let keys = keys.iter().map(|key| number::<_, i32>(*key)).collect::<Result<Vec<_>, _>>()?;
    let chosen = lists::Entity::find().filter(lists::Column::Key.is_in(keys));
    let rows = chosen.order_by_asc(lists::Column::Key).all(db).await;
    let row = |row: lists::Model| Ok(((number(row.key)?, parse(&row.items)?), row.standby));
    let rows = rows.map_err(|error| error.to_string())?.into_iter().map(row);
    Ok(Found::new(rows.collect::<Result<_, String>>()?))
}
