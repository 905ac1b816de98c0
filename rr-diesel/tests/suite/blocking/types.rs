//! Types that a database defines itself, on Diesel's own connections.

use diesel::prelude::*;
use diesel::sql_types::{Array, Integer};
use rr_diesel::RouteHints;

use super::RoutedPool;
use crate::support::Result;
use crate::types::{
    ADOPT, Found, Mood, MoodType, Pet, RAW, all_moods, each_query_with_types, nodes_with_different_numbers,
    pet,
};

#[tokio::test(flavor = "multi_thread")]
async fn enums_and_their_arrays_work_on_every_server() -> Result {
    let (_cluster, config) = nodes_with_different_numbers().await?;
    let pool = RoutedPool::start(config)?;
    let conn = &mut pool.get()?;
    let all = all_moods();
    for id in 0..4 {
        let values =
            (pet::id.eq(id), pet::mood.eq(Mood::Wild), pet::moods.eq(&all), pet::other.eq(None::<Mood>));
        diesel::insert_into(pet::table).values(values).execute(conn)?;
    }
    // Each statement is known by then to the connections of both nodes.
    for _ in 0..2 {
        macro_rules! check {
            ($query:expr) => {
                let there: Vec<i32> = $query.load(conn)?;
                assert_eq!(there, [100, 101, 102, 103], "{}", stringify!($query));
                let here: Vec<i32> = $query.use_primary().load(conn)?;
                assert_eq!(here, [0, 1, 2, 3], "{}", stringify!($query));
            };
        }
        each_query_with_types!(check);
        let raw = || {
            diesel::sql_query(RAW)
                .bind::<MoodType, _>(Mood::Wild)
                .bind::<Array<MoodType>, _>(vec![Mood::Wild, Mood::Calm])
        };
        let there: Vec<Found> = raw().load(conn)?;
        assert_eq!(there[3], Found { id: 103, mood: Mood::Wild });
        let here: Vec<Found> = raw().use_primary().load(conn)?;
        assert_eq!(here[3], Found { id: 3, mood: Mood::Wild });
        for (first, rows) in
            [(100, pet::table.load::<Pet>(conn)?), (0, pet::table.use_primary().load::<Pet>(conn)?)]
        {
            assert_eq!(rows[0], (first, Mood::Wild, all.clone(), None));
        }
    }
    let adopted = diesel::sql_query(ADOPT).bind::<Integer, _>(9).bind::<MoodType, _>(Mood::Calm);
    assert_eq!(adopted.get_result::<Found>(conn)?, Found { id: 9, mood: Mood::Calm });
    conn.transaction(|conn| {
        let changed = diesel::update(pet::table.find(9))
            .set((pet::mood.eq(Mood::Wild), pet::other.eq(Some(Mood::Calm))));
        let changed: (Vec<Option<Mood>>, Option<Mood>) =
            changed.returning((pet::moods, pet::other)).get_result(conn)?;
        assert_eq!(changed, (vec![Some(Mood::Calm)], Some(Mood::Calm)));
        QueryResult::Ok(())
    })?;
    Ok(())
}
