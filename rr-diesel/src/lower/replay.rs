//! A lowered query as a query again, for the connection of a node.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::{IsNull, Output, ToSql};
use diesel::sql_types::{Text, Untyped};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use super::Lowered;
use super::binds::Raw;
use crate::stream::PgRow;

/// The rows of a statement, as the connection delivers them.
pub(crate) type Rows = BoxStream<'static, QueryResult<PgRow>>;

type Start<T> =
    for<'c, 'l, 'm> fn(&'c AsyncPgConnection, &'l mut Lowered<'m>) -> BoxFuture<'c, QueryResult<T>>;

/// How a query is run under the identity that its type has for the cache of prepared statements.
#[derive(Clone, Copy)]
pub(super) struct How {
    load: Start<Rows>,
    execute: Start<usize>,
}

impl How {
    pub(super) fn of<Q: QueryId>() -> Self {
        if Q::HAS_STATIC_QUERY_ID {
            Self { load: load::<Known<Q::QueryId>>, execute: execute::<Known<Q::QueryId>> }
        } else {
            Self { load: load::<Unknown>, execute: execute::<Unknown> }
        }
    }
}

impl Lowered<'_> {
    #[inline]
    pub(crate) fn load<'c>(&mut self, conn: &'c AsyncPgConnection) -> BoxFuture<'c, QueryResult<Rows>> {
        (self.how.load)(conn, self)
    }

    #[inline]
    pub(crate) fn execute<'c>(&mut self, conn: &'c AsyncPgConnection) -> BoxFuture<'c, QueryResult<usize>> {
        (self.how.execute)(conn, self)
    }
}

#[inline]
fn load<'c, I: QueryId>(
    conn: &'c AsyncPgConnection,
    lowered: &mut Lowered<'_>,
) -> BoxFuture<'c, QueryResult<Rows>> {
    let mut conn = conn;
    AsyncConnectionCore::load(&mut conn, Replay::<I>::of(lowered))
}

#[inline]
fn execute<'c, I: QueryId>(
    conn: &'c AsyncPgConnection,
    lowered: &mut Lowered<'_>,
) -> BoxFuture<'c, QueryResult<usize>> {
    let mut conn = conn;
    AsyncConnectionCore::execute_returning_count(&mut conn, Replay::<I>::of(lowered))
}

/// The identity of a query whose type says what its text is.
struct Known<I>(PhantomData<I>);

impl<I: 'static> QueryId for Known<I> {
    type QueryId = I;
}

/// No identity.
struct Unknown;

impl QueryId for Unknown {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

struct Replay<'l, I> {
    lowered: &'l Lowered<'l>,
    fresh: Cell<Option<Raw>>,
    debug: DebugText<'l>,
    identity: PhantomData<fn() -> I>,
}

impl<'l, I> Replay<'l, I> {
    fn of(lowered: &'l mut Lowered<'_>) -> Self {
        let fresh = Cell::new(lowered.binds.fresh());
        let debug = DebugText(lowered.debug.as_deref().unwrap_or_default());
        Self { lowered, fresh, debug, identity: PhantomData }
    }
}

impl<I: QueryId> QueryId for Replay<'_, I> {
    type QueryId = I::QueryId;
    const HAS_STATIC_QUERY_ID: bool = I::HAS_STATIC_QUERY_ID;
}

impl<I> Query for Replay<'_, I> {
    type SqlType = Untyped;
}

impl<I> QueryFragment<Pg> for Replay<'_, I> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.lowered.cacheable {
            out.unsafe_to_cache_prepared();
        }
        out.push_sql(&self.lowered.sql);
        if self.debug.0.is_empty() {
            return Ok(());
        }
        out.push_bind_param_value_only::<Text, _>(&self.debug)
    }

    /// The values are serialised already. Only called on the replay itself, never behind a reference, so that `out` is empty.
    fn collect_binds<'b>(
        &'b self,
        out: &mut RawBytesBindCollector<Pg>,
        lookup: &mut (dyn diesel::pg::PgMetadataLookup + 'static),
        _: &'b Pg,
    ) -> QueryResult<()> {
        self.lowered.binds.give(self.fresh.take(), out, lookup)
    }
}

/// Prints as the list of the binds; it has no value of its own.
struct DebugText<'l>(&'l str);

impl fmt::Debug for DebugText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl ToSql<Text, Pg> for DebugText<'_> {
    fn to_sql<'b>(&'b self, _: &mut Output<'b, '_, Pg>) -> diesel::serialize::Result {
        Ok(IsNull::Yes)
    }
}
