//! A query as owned data: everything that is needed to run it, once or again, on any node.
//!
//! Diesel's queries borrow and are not `Send`. [`lower`] runs inside the synchronous part of `load`, renders the SQL,
//! serialises the binds, and finds out what kind of statement it is; the futures that follow hold a [`Lowered`].

use std::any::TypeId;
use std::ops::Deref;
use std::sync::Arc;

use diesel::QueryResult;
use diesel::pg::{Pg, PgQueryBuilder};
use diesel::query_builder::{QueryBuilder, QueryFragment, QueryId};
use rr_core::adapter::{Classes, Way, Wish};
use rr_core::sql::Classified;

use crate::hint;

mod binds;
mod replay;

use binds::Binds;
use replay::How;
pub(crate) use replay::Rows;

/// A query as owned data, except for what `'m` remembers of its type.
pub(crate) struct Lowered<'m> {
    pub(crate) sql: Text<'m>,
    binds: Binds,
    cacheable: bool,
    /// The binds as text, for instrumentation.
    debug: Option<String>,
    /// Identifies the statement across its executions, where its type does.
    pub(crate) id: Option<TypeId>,
    pub(crate) classified: Classified,
    pub(crate) wish: Wish,
    how: How,
}

/// The text of a statement. Where its type says what that is, it is rendered once, which costs more than all the rest.
pub(crate) enum Text<'m> {
    Met(&'m Arc<str>),
    Shared(Arc<str>),
    Own(String),
}

impl Deref for Text<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        match self {
            Self::Met(text) => text,
            Self::Shared(text) => text,
            Self::Own(text) => text,
        }
    }
}

impl Lowered<'_> {
    /// For whatever goes on behind the handle's back.
    pub(crate) fn kept(self) -> Box<Lowered<'static>> {
        let Self { sql, binds, cacheable, debug, id, classified, wish, how } = self;
        let sql = match sql {
            Text::Met(text) => Text::Shared(Arc::clone(text)),
            Text::Shared(text) => Text::Shared(text),
            Text::Own(text) => Text::Own(text),
        };
        Box::new(Lowered { sql, binds, cacheable, debug, id, classified, wish, how })
    }

    /// How it is run by a handle that keeps no connection.
    #[inline]
    pub(crate) fn way(&self) -> Way {
        self.wish.way(&self.classified)
    }

    /// Whether it has binds whose types are known by other numbers on every server.
    #[inline]
    pub(crate) fn has_custom_types(&self) -> bool {
        self.binds.has_custom_types()
    }
}

/// Renders and classifies the query.
pub(crate) fn lower<'m, Q>(query: &Q, classes: &'m Classes, instrumented: bool) -> QueryResult<Lowered<'m>>
where
    Q: QueryFragment<Pg> + QueryId,
{
    // As Diesel's own cache: the text of a query that is not safe to cache need not be that of its type.
    let cacheable = query.is_safe_to_cache_prepared(&Pg)?;
    let id = Q::query_id().filter(|_| cacheable);
    let (binds, wish) = hint::collect(|| Binds::collect(query));
    let (sql, classified) = match id.and_then(|id| classes.met(id)) {
        Some((classified, sql)) => {
            debug_assert_eq!(render(query)?, **sql, "Diesel's own cache takes them for the same");
            (Text::Met(sql), classified)
        }
        None => {
            let sql = render(query)?;
            let classified = classes.classify(id, &sql);
            (Text::Own(sql), classified)
        }
    };
    Ok(Lowered {
        binds: binds?,
        cacheable,
        debug: instrumented.then(|| debug_binds(&diesel::debug_query::<Pg, _>(query).to_string(), &sql)),
        id,
        classified,
        wish,
        how: How::of::<Q>(),
        sql,
    })
}

fn render<Q: QueryFragment<Pg>>(query: &Q) -> QueryResult<String> {
    let mut builder = PgQueryBuilder::default();
    query.to_sql(&mut builder, &Pg)?;
    Ok(builder.finish())
}

/// The list between the brackets that Diesel prints behind the SQL.
fn debug_binds(printed: &str, sql: &str) -> String {
    let binds = printed.strip_prefix(sql).and_then(|rest| rest.strip_prefix(" -- binds: ["));
    binds.and_then(|list| list.strip_suffix(']')).unwrap_or_default().to_owned()
}
