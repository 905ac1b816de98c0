//! Hints inside of queries.
//!
//! A hint is a wrapper that adds nothing to the SQL. While the query is rendered for a [routed
//! connection](crate::RoutedPgConnection) the wrapper speaks up; any other connection does not listen. Diesel's whole query
//! language goes through the wrapper, so that a hint may stand anywhere in a chain.

use std::sync::Arc;

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::expression::Expression;
use diesel::query_builder::{AsQuery, AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::methods::{
    BoxedDsl, DistinctDsl, DistinctOnDsl, FilterDsl, FindDsl, GroupByDsl, HavingDsl, LimitDsl, LockingDsl,
    ModifyLockDsl, OffsetDsl, OrFilterDsl, OrderDsl, SelectDsl, SelectNullableDsl, ThenOrderDsl,
};
use diesel::query_dsl::{InternalJoinDsl, QueryDsl};
use diesel::query_source::JoinTo;

use rr_core::Consistency;
use rr_core::adapter::Place;

use super::ask;

/// Tells a routed connection where a query is to run. Harmless on every other connection.
///
/// A query within another one takes no hint, because it does not run by itself: the outer one does.
pub trait RouteHints: AsQuery + Sized {
    /// Runs it on the primary.
    fn use_primary(self) -> Hinted<Self::Query> {
        Hinted { query: self.as_query(), hint: Hint::Place(Place::Primary) }
    }

    /// Runs it on a replica, where the handle would use the primary for no other reason than
    /// [`on_primary`](crate::RoutedPgConnection::on_primary). What a replica has not yet got still comes from the primary.
    fn use_replica(self) -> Hinted<Self::Query> {
        Hinted { query: self.as_query(), hint: Hint::Place(Place::Replica) }
    }

    /// Runs it on a node of this group.
    fn use_group(self, group: impl Into<Arc<str>>) -> Hinted<Self::Query> {
        Hinted { query: self.as_query(), hint: Hint::Group(group.into()) }
    }

    /// Reads at this level, whatever that of the handle, the scope or the router is. Where a chain asks for several, the
    /// last one counts.
    ///
    /// ```
    /// use diesel::prelude::*;
    /// use rr_core::Consistency;
    /// use rr_diesel::RouteHints;
    /// # diesel::table! { book (id) { id -> Integer, title -> Text } }
    ///
    /// let search = book::table.filter(book::title.eq("Emma")).consistency(Consistency::Eventual);
    /// # drop(search);
    /// ```
    fn consistency(self, level: Consistency) -> Hinted<Self::Query> {
        Hinted { query: self.as_query(), hint: Hint::Level(level) }
    }
}

impl<T: AsQuery> RouteHints for T {}

/// A query with a hint where it is to run; see [`RouteHints`].
#[derive(Clone, Debug)]
#[must_use = "queries are only executed when calling `load`, `get_result` or similar"]
pub struct Hinted<Q> {
    query: Q,
    hint: Hint,
}

#[derive(Clone, Debug)]
enum Hint {
    Place(Place),
    Group(Arc<str>),
    Level(Consistency),
}

impl<Q> Hinted<Q> {
    fn map<R>(self, change: impl FnOnce(Q) -> R) -> Hinted<R> {
        Hinted { query: change(self.query), hint: self.hint }
    }
}

impl<Q: QueryFragment<DB>, DB: Backend> QueryFragment<DB> for Hinted<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        ask(|wish| match &self.hint {
            Hint::Place(place) => wish.place = wish.place.max(Some(*place)),
            Hint::Group(group) => wish.group = Some(Arc::clone(group)),
            // The outermost one comes first.
            Hint::Level(level) => wish.level = wish.level.or(Some(*level)),
        });
        self.query.walk_ast(out)
    }
}

/// The hint is asked for anew each time, so that the text is all that identifies the statement.
impl<Q: QueryId> QueryId for Hinted<Q> {
    type QueryId = Q::QueryId;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

impl<Q: Query> Query for Hinted<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, Conn> diesel::RunQueryDsl<Conn> for Hinted<Q> {}

impl<Q> QueryDsl for Hinted<Q> {}

/// Passes methods of Diesel's query language on to the query inside.
macro_rules! pass_on {
    ($($dsl:ident $(<$($of:ident $(: $bound:ident)?),+>)? :: $method:ident ( $($arg:ident : $type:ty),* );)+) => {$(
        impl<Q, $($($of $(: $bound)?),+)?> $dsl$(<$($of),+>)? for Hinted<Q>
        where
            Q: $dsl$(<$($of),+>)?,
        {
            type Output = Hinted<Q::Output>;

            fn $method(self, $($arg: $type),*) -> Self::Output {
                self.map(|query| query.$method($($arg),*))
            }
        }
    )+};
}

pass_on! {
    DistinctDsl::distinct();
    DistinctOnDsl<S>::distinct_on(selection: S);
    FilterDsl<P>::filter(predicate: P);
    OrFilterDsl<P>::or_filter(predicate: P);
    FindDsl<K>::find(key: K);
    GroupByDsl<E: Expression>::group_by(expression: E);
    HavingDsl<P>::having(predicate: P);
    LimitDsl::limit(limit: i64);
    OffsetDsl::offset(offset: i64);
    LockingDsl<L>::with_lock(lock: L);
    ModifyLockDsl<M>::modify_lock(modifier: M);
    OrderDsl<E: Expression>::order(expression: E);
    ThenOrderDsl<E>::then_order_by(expression: E);
    SelectDsl<S: Expression>::select(selection: S);
    SelectNullableDsl::nullable();
}

impl<'a, Q: BoxedDsl<'a, DB>, DB> BoxedDsl<'a, DB> for Hinted<Q> {
    type Output = Hinted<Q::Output>;

    fn internal_into_boxed(self) -> Self::Output {
        self.map(BoxedDsl::internal_into_boxed)
    }
}

impl<Q: JoinTo<R>, R> JoinTo<R> for Hinted<Q> {
    type FromClause = Q::FromClause;
    type OnClause = Q::OnClause;

    fn join_target(rhs: R) -> (Self::FromClause, Self::OnClause) {
        Q::join_target(rhs)
    }
}

impl<Q: InternalJoinDsl<R, Kind, On>, R, Kind, On> InternalJoinDsl<R, Kind, On> for Hinted<Q> {
    type Output = Hinted<Q::Output>;

    fn join(self, rhs: R, kind: Kind, on: On) -> Self::Output {
        self.map(|query| query.join(rhs, kind, on))
    }
}
