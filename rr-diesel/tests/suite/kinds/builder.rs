//! Every kind of query of Diesel's builder. Each says in its one row whether a standby serves it.

diesel::define_sql_function! { fn on_standby() -> diesel::sql_types::Bool; }

/// Gives each of them to `$check!(whether a standby serves it, the query)`, and what gives no rows to `$counts!(rows that
/// are changed on the primary, the query)`. What asks `on_standby()` in its condition gives `1` where that is true.
macro_rules! each_built_query {
    ($check:ident, $counts:ident) => {{
        use diesel::dsl::{exists, insert_into, not};
        use diesel::upsert::excluded;
        use rr_diesel::RouteHints;

        use crate::kinds::on_standby;

        let one = note::table.find(1);
        let who = || note::table.filter(note::id.eq(1)).select(on_standby());
        let (left, right) = diesel::alias!(note as left_note, note as right_note);
        let joined = || {
            left.inner_join(right.on(left.field(note::id).eq(right.field(note::id))))
                .filter(left.field(note::id).eq(1))
        };

        $check!(true, who());
        $check!(true, one.select(on_standby()));
        $check!(true, who().order(note::id.desc()).limit(1).offset(0));
        $check!(true, who().distinct());
        $check!(true, who().group_by(note::id).having(note::id.gt(0)));
        $check!(true, who().into_boxed().filter(note::stars.ge(0)));
        $check!(true, joined().select(on_standby()));
        $check!(
            true,
            left.left_join(right.on(right.field(note::id).eq(-1)))
                .filter(left.field(note::id).eq(1))
                .select(on_standby())
        );
        $check!(true, who().filter(note::id.eq_any(right.select(right.field(note::id)))));
        $check!(true, who().union(who()));
        $check!(true, diesel::select(on_standby()));
        $check!(true, diesel::select(exists(one.filter(on_standby()))));
        $check!(
            true,
            diesel::select(note::table.filter(on_standby()).count().single_value().assume_not_null().gt(0))
        );

        $check!(false, who().for_update());
        $check!(false, who().for_no_key_update().no_wait());
        $check!(false, who().for_share().skip_locked());
        $check!(false, who().for_key_share());
        $check!(false, insert_into(note::table).values(note::text.eq("x")).returning(on_standby()));
        $check!(
            false,
            insert_into(note::table)
                .values((note::id.eq(1), note::text.eq("x")))
                .on_conflict(note::id)
                .do_update()
                .set(note::stars.eq(excluded(note::stars)))
                .returning(on_standby())
        );
        $check!(false, diesel::update(one).set(note::stars.eq(1)).returning(on_standby()));
        $check!(
            false,
            insert_into(note::table)
                .values(one.select((note::id - 1_000_000, note::text)))
                .into_columns((note::id, note::text))
                .on_conflict(note::id)
                .do_update()
                .set(note::stars.eq(3))
                .returning(on_standby())
        );
        $check!(false, {
            let zero = insert_into(note::table).values((note::id.eq(0), note::text.eq("x")));
            zero.on_conflict(note::id).do_update().set(note::text.eq("y")).returning(on_standby())
        });

        $counts!(1, insert_into(note::table).values(note::text.eq("x")));
        $counts!(2, insert_into(note::table).values(&[note::text.eq("many"), note::text.eq("many")]));
        $counts!(
            0,
            insert_into(note::table).values((note::id.eq(1), note::text.eq("x"))).on_conflict_do_nothing()
        );
        $counts!(1, diesel::update(one.filter(not(on_standby()))).set(note::stars.eq(2)));
        $counts!(2, diesel::delete(note::table.filter(note::text.eq("many")).filter(not(on_standby()))));

        $check!(false, note::table.use_primary().find(1).select(on_standby()));
        $check!(false, who().use_primary());
        $check!(false, note::table.use_primary().filter(note::id.eq(1)).into_boxed().select(on_standby()));
        $check!(false, who().into_boxed().use_primary());
        $check!(false, joined().use_primary().select(on_standby()));
        $check!(
            false,
            note::table.filter(note::id.eq(1)).use_primary().select(on_standby()).limit(1).offset(0)
        );
        $check!(false, diesel::select(on_standby()).use_primary());
        $check!(false, diesel::select(exists(one.filter(on_standby()))).use_primary());
        $check!(false, who().use_primary().use_replica());
        $check!(true, who().use_replica());
        $check!(true, who());
    }};
}
pub(crate) use each_built_query;
