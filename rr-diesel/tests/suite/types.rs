//! Types that a database defines itself: each database knows them by numbers of its own.
//!
//! A standby has the numbers of its primary, as of the moment that it has replayed. Here it stands still while the types and
//! their tables are made anew on the primary, and its readers want any state.

use std::io::Write;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::dsl::sql;
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::prelude::*;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Array, Integer, Nullable, Oid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use rr_core::Config;
use rr_core::config::Unscoped;
use rr_diesel::{RouteHints, RoutedPool};
use rr_tests::cluster::Cluster;

use crate::support::{PATIENCE, Result, until};

#[derive(diesel::sql_types::SqlType, diesel::query_builder::QueryId)]
#[diesel(postgres_type(name = "mood"))]
#[derive(Debug)]
#[expect(unnameable_types, reason = "the columns of a table are public")]
pub struct MoodType;

#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = MoodType)]
pub(crate) enum Mood {
    Calm,
    Wild,
}

impl ToSql<MoodType, Pg> for Mood {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(match self {
            Self::Calm => b"calm",
            Self::Wild => b"wild",
        })?;
        Ok(IsNull::No)
    }
}

impl FromSql<MoodType, Pg> for Mood {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes() {
            b"calm" => Ok(Self::Calm),
            b"wild" => Ok(Self::Wild),
            _ => Err("no such mood".into()),
        }
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::MoodType;
    pet (id) {
        id -> Integer,
        mood -> MoodType,
        moods -> Array<Nullable<MoodType>>,
        other -> Nullable<MoodType>,
    }
}

pub(crate) type Pet = (i32, Mood, Vec<Option<Mood>>, Option<Mood>);

const TABLES: &str = "
    CREATE TYPE mood AS ENUM ('calm', 'wild');
    CREATE TABLE pet (id int PRIMARY KEY, mood mood NOT NULL, moods mood[] NOT NULL, other mood);
    CREATE FUNCTION adopt(number int, kind mood) RETURNS mood LANGUAGE sql VOLATILE AS
        'INSERT INTO pet VALUES (number, kind, ARRAY[kind]) RETURNING mood'";

pub(crate) fn all_moods() -> Vec<Option<Mood>> {
    vec![Some(Mood::Wild), None, Some(Mood::Calm)]
}

/// A cluster, and the settings of a router whose two nodes have different numbers for the same types.
pub(crate) async fn nodes_with_different_numbers() -> Result<(Cluster, Config)> {
    let cluster = Cluster::builder().replicas(1).start().await?;
    let (primary, replica) = (cluster.primary(), cluster.replica(1)?);
    let mut conn = AsyncPgConnection::establish(&primary.url()).await?;
    let fill = "INSERT INTO pet SELECT n + 100, 'wild', '{wild, NULL, calm}' FROM generate_series(0, 3) n";
    conn.batch_execute(&format!("{TABLES}; {fill}")).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    replica.pause_replay().await?;
    conn.batch_execute(&format!("DROP OWNED BY CURRENT_USER CASCADE; {TABLES}")).await?;
    let mut numbers = Vec::new();
    for node in [primary, replica] {
        let mut conn = AsyncPgConnection::establish(&node.url()).await?;
        let number = |name| sql::<Oid>(&format!("'{name}'::regtype::oid"));
        numbers.push(
            diesel::select((number("mood"), number("mood[]"))).get_result::<(u32, u32)>(&mut conn).await?,
        );
    }
    assert!(numbers[0].0 != numbers[1].0 && numbers[0].1 != numbers[1].1, "{numbers:?}");
    let config = Config::builder().primary(primary.url().as_str()).replica(replica.url().as_str());
    let config = config.with(|config| {
        config.unscoped = Unscoped::Eventual;
        config.max_lag = None;
    });
    Ok((cluster, config.build()?))
}

/// Queries with such types in every place where they can be sent.
macro_rules! each_query_with_types {
    ($check:ident) => {{
        use diesel::dsl::exists;

        let all = all_moods();
        let one = vec![Some(Mood::Wild)];
        let ids = || pet::table.select(pet::id).order(pet::id);
        $check!(ids().filter(pet::mood.eq(Mood::Wild)));
        $check!(ids().filter(pet::mood.eq_any([Mood::Wild, Mood::Calm])));
        $check!(ids().filter(pet::moods.eq(&all)).filter(pet::other.is_distinct_from(Some(Mood::Wild))));
        $check!(ids().filter(pet::moods.contains(&one)));
        $check!(ids().filter(pet::moods.overlaps_with(&all)).into_boxed().filter(pet::mood.ne(Mood::Calm)));
        $check!(ids().filter(exists(diesel::select(Mood::Wild.into_sql::<MoodType>()))));
    }};
}
#[cfg(feature = "blocking")]
pub(crate) use each_query_with_types;

/// The same in SQL.
pub(crate) const RAW: &str = "SELECT id, mood FROM pet WHERE mood = $1 AND moods @> $2 ORDER BY id";

/// Looks like a read, so that the replica is asked first and refuses.
pub(crate) const ADOPT: &str = "SELECT $1 AS id, adopt($1, $2) AS mood";

#[derive(Debug, PartialEq, Eq, QueryableByName)]
#[diesel(table_name = pet)]
pub(crate) struct Found {
    pub(crate) id: i32,
    pub(crate) mood: Mood,
}

#[tokio::test]
async fn enums_and_their_arrays_work_on_every_server() -> Result {
    let (_cluster, config) = nodes_with_different_numbers().await?;
    let pool = RoutedPool::start(config).await?;
    let conn = &mut pool.get().await?;
    let all = all_moods();
    for id in 0..4 {
        let values =
            (pet::id.eq(id), pet::mood.eq(Mood::Wild), pet::moods.eq(&all), pet::other.eq(None::<Mood>));
        diesel::insert_into(pet::table).values(values).execute(conn).await?;
        let own = pool.router().process_session();
        until("the position that was asked for behind the write", async || Ok(own.last_write().is_some()))
            .await?;
    }
    // Each statement is known by then to the connections of both nodes.
    for _ in 0..2 {
        macro_rules! check {
            ($query:expr) => {
                let there: Vec<i32> = $query.load(conn).await?;
                assert_eq!(there, [100, 101, 102, 103], "{}", stringify!($query));
                let here: Vec<i32> = $query.use_primary().load(conn).await?;
                assert_eq!(here, [0, 1, 2, 3], "{}", stringify!($query));
            };
        }
        each_query_with_types!(check);
        let raw = || {
            diesel::sql_query(RAW)
                .bind::<MoodType, _>(Mood::Wild)
                .bind::<Array<MoodType>, _>(vec![Mood::Wild, Mood::Calm])
        };
        let there: Vec<Found> = raw().load(conn).await?;
        assert_eq!(there[3], Found { id: 103, mood: Mood::Wild });
        let here: Vec<Found> = raw().use_primary().load(conn).await?;
        assert_eq!(here[3], Found { id: 3, mood: Mood::Wild });
        for (first, rows) in [
            (100, pet::table.load::<Pet>(conn).await?),
            (0, pet::table.use_primary().load::<Pet>(conn).await?),
        ] {
            assert_eq!(rows[0], (first, Mood::Wild, all.clone(), None));
        }
    }
    let adopted = diesel::sql_query(ADOPT).bind::<Integer, _>(9).bind::<MoodType, _>(Mood::Calm);
    assert_eq!(adopted.get_result::<Found>(conn).await?, Found { id: 9, mood: Mood::Calm });
    conn.transaction(async |conn| {
        let changed = diesel::update(pet::table.find(9))
            .set((pet::mood.eq(Mood::Wild), pet::other.eq(Some(Mood::Calm))));
        let changed: (Vec<Option<Mood>>, Option<Mood>) =
            changed.returning((pet::moods, pet::other)).get_result(conn).await?;
        assert_eq!(changed, (vec![Some(Mood::Calm)], Some(Mood::Calm)));
        QueryResult::Ok(())
    })
    .await?;
    Ok(())
}

/// What the compiler needs to see of the types of the table.
#[expect(dead_code, reason = "names the types that the table uses")]
type Used = (Array<Nullable<MoodType>>, Nullable<MoodType>);
