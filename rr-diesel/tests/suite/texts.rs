//! Queries whose type says less than their text.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::Integer;

use crate::support::{Result, boot, pool};

/// Any text, of one type. It says itself that it is not safe to cache.
#[derive(QueryId)]
pub(crate) struct Text(pub(crate) &'static str);

impl Query for Text {
    type SqlType = Integer;
}

impl<C> RunQueryDsl<C> for Text {}

impl QueryFragment<Pg> for Text {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql(self.0);
        Ok(())
    }
}

/// A read, another one, and a write.
pub(crate) const TEXTS: [(&str, i32); 3] = [
    ("SELECT 1", 1),
    ("SELECT 2", 2),
    ("INSERT INTO note (text) VALUES ('of a type that reads') RETURNING 3", 3),
];

#[tokio::test]
async fn what_is_not_safe_to_cache_runs_as_it_is_written() -> Result {
    let cluster = boot(1).await?;
    let conn = &mut pool(&cluster).await?.get().await?;
    for (text, says) in TEXTS {
        assert_eq!(diesel_async::RunQueryDsl::get_result::<i32>(Text(text), conn).await?, says, "{text}");
    }
    Ok(())
}
