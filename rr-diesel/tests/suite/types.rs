//! Types that a database defines itself: their numbers differ from server to server.

use std::io::Write;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::prelude::*;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Array, Nullable};
use diesel_async::{AsyncConnection, RunQueryDsl};
use rr_diesel::RouteHints;

use crate::support::{PATIENCE, Result, boot, pool};

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

type Pet = (i32, Mood, Vec<Option<Mood>>, Option<Mood>);

#[tokio::test]
async fn enums_and_their_arrays_work_on_every_server() -> Result {
    for earlier_types in [0, 7] {
        let cluster = boot(1).await?;
        for number in 0..earlier_types {
            cluster.primary().sql(&format!("CREATE TYPE earlier_{number} AS ENUM ('a')")).await?;
        }
        let setup = "CREATE TYPE mood AS ENUM ('calm', 'wild'); \
                     CREATE TABLE pet (id int PRIMARY KEY, mood mood NOT NULL, moods mood[] NOT NULL, other mood)";
        cluster.primary().sql(setup).await?;
        cluster.wait_caught_up(PATIENCE).await?;
        let pool = pool(&cluster).await?;
        let conn = &mut pool.get().await?;
        let all = vec![Some(Mood::Wild), None, Some(Mood::Calm)];
        for id in 0..4 {
            let values =
                (pet::id.eq(id), pet::mood.eq(Mood::Wild), pet::moods.eq(&all), pet::other.eq(None::<Mood>));
            diesel::insert_into(pet::table).values(values).execute(conn).await?;
            let written = pool.router().process_session().last_write();
            assert!(written.is_some(), "the position was asked for behind the write");
        }
        let wild = || {
            pet::table
                .filter(pet::mood.eq_any([Mood::Wild, Mood::Calm]))
                .filter(pet::moods.eq(&all))
                .order(pet::id)
        };
        for pets in [wild().load::<Pet>(conn).await?, wild().use_primary().load::<Pet>(conn).await?] {
            assert_eq!(pets.len(), 4);
            assert_eq!(pets[3], (3, Mood::Wild, all.clone(), None));
        }
        cluster.wait_caught_up(PATIENCE).await?;
        let replica = &mut diesel_async::AsyncPgConnection::establish(&cluster.replica(1)?.url()).await?;
        assert_eq!(wild().load::<Pet>(replica).await?.len(), 4);
        let shared = diesel::select(diesel::dsl::exists(pet::table.filter(pet::moods.contains(&all[..1]))));
        assert!(shared.get_result::<bool>(conn).await?);
    }
    Ok(())
}

/// What the compiler needs to see of the types of the table.
#[expect(dead_code, reason = "names the types that the table uses")]
type Used = (Array<Nullable<MoodType>>, Nullable<MoodType>);
