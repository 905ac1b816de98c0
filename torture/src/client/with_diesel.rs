//! Diesel.

use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_types::{Array, BigInt};
use diesel_async::{AsyncConnection, RunQueryDsl};
use rr_core::Consistency;
use rr_diesel::{RouteHints, RoutedPgConnection, outcome_unknown};

use super::{Failure, Found, number, parse};
use crate::history::{Item, Key, Seen};

diesel::table! {
    register (key) {
        key -> Integer,
        items -> Array<BigInt>,
    }
}

diesel::table! {
    ends (key) {
        key -> Integer,
        version -> Integer,
        item -> BigInt,
        standby -> Bool,
    }
}

diesel::table! {
    lists (key) {
        key -> Integer,
        items -> Text,
        standby -> Bool,
    }
}

pub(super) async fn append(
    conn: &mut RoutedPgConnection,
    key: Key,
    item: Item,
    transaction: bool,
) -> Result<(), Failure> {
    let key = i32::try_from(key).map_err(|error| Failure::Certain(error.to_string()))?;
    let done = match transaction {
        true => conn.transaction::<_, Error, _>(async |conn| one(conn, key, item).await).await,
        false => one(conn, key, item).await,
    };
    match done {
        Ok(1) => Ok(()),
        Ok(rows) => Err(Failure::Certain(format!("{rows} rows"))),
        Err(error) => Err(failure(&error)),
    }
}

async fn one(conn: &mut RoutedPgConnection, key: i32, item: Item) -> QueryResult<usize> {
    let longer = diesel::dsl::sql::<Array<BigInt>>("items || ").bind::<BigInt, _>(item);
    diesel::update(register::table.find(key)).set(register::items.eq(longer)).execute(conn).await
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::RollbackErrorOnCommit { commit_error, .. } => failure(commit_error),
        error if outcome_unknown(error).is_some() => Failure::Unknown(error.to_string()),
        error => Failure::Certain(error.to_string()),
    }
}

pub(super) async fn ends(conn: &mut RoutedPgConnection, level: Consistency) -> Result<Found<Seen>, String> {
    let rows: Vec<(i32, i32, i64, bool)> = ends::table
        .order(ends::key)
        .consistency(level)
        .load(conn)
        .await
        .map_err(|error| error.to_string())?;
    let row = |(key, version, item, standby)| {
        Ok((Seen { key: number(key)?, version: number::<i32, _>(version)?, item }, standby))
    };
    Ok(Found::new(rows.into_iter().map(row).collect::<Result<_, String>>()?))
}

pub(super) async fn lists(
    conn: &mut RoutedPgConnection,
    keys: &[Key],
    level: Consistency,
) -> Result<Found<(Key, Vec<Item>)>, String> {
    let keys = keys.iter().map(|key| number::<_, i32>(*key)).collect::<Result<Vec<_>, _>>()?;
    let chosen = lists::table.filter(lists::key.eq_any(keys)).order(lists::key);
    let rows: Vec<(i32, String, bool)> =
        chosen.consistency(level).load(conn).await.map_err(|error| error.to_string())?;
    let row = |(key, items, standby): (i32, String, bool)| Ok(((number(key)?, parse(&items)?), standby));
    Ok(Found::new(rows.into_iter().map(row).collect::<Result<_, String>>()?))
}
