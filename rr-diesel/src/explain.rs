//! Why a query would go where it would go.

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::query_builder::{QueryBuilder, QueryFragment, QueryId};
use rr_core::adapter::{Classes, Wish};
use rr_core::sql::Classified;

use crate::hint;

/// What is known of a query without running it: its text, what kind of statement it is, and what its hints ask for.
pub(crate) fn look<DB, Q>(query: &Q, classes: &Classes) -> QueryResult<(String, Classified, Wish)>
where
    DB: Backend + Default,
    DB::QueryBuilder: Default,
    Q: QueryFragment<DB> + QueryId,
{
    let mut builder = DB::QueryBuilder::default();
    let (rendered, wish) = hint::collect(|| query.to_sql(&mut builder, &DB::default()));
    rendered?;
    let sql = builder.finish();
    let classified = classes.classify(Q::query_id(), &sql);
    Ok((sql, classified, wish))
}
