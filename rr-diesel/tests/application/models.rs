//! The application's tables and what it keeps in them.

use std::io::Write;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::BigInt;

#[derive(Debug, diesel::sql_types::SqlType, QueryId)]
#[diesel(postgres_type(name = "mood"))]
#[expect(unnameable_types, reason = "the columns of a table are public")]
pub struct MoodType;

impl diesel::sql_types::SqlOrd for MoodType {}

#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = MoodType)]
pub(crate) enum Mood {
    Calm,
    Wild,
    Tired,
}

impl ToSql<MoodType, Pg> for Mood {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(match self {
            Self::Calm => b"calm",
            Self::Wild => b"wild",
            Self::Tired => b"tired",
        })?;
        Ok(IsNull::No)
    }
}

impl FromSql<MoodType, Pg> for Mood {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes() {
            b"calm" => Ok(Self::Calm),
            b"wild" => Ok(Self::Wild),
            b"tired" => Ok(Self::Tired),
            _ => Err("no such mood".into()),
        }
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::MoodType;
    author (id) {
        id -> Integer,
        name -> Text,
        mood -> MoodType,
        moods -> Array<Nullable<MoodType>>,
        wanted -> Nullable<MoodType>,
        profile -> Jsonb,
        visits -> Integer,
    }
}
diesel::table! {
    post (id) {
        id -> Integer,
        author_id -> Integer,
        title -> Text,
        body -> Nullable<Text>,
        likes -> Integer,
    }
}
diesel::table! {
    comment (id) {
        id -> Integer,
        post_id -> Integer,
        text -> Text,
    }
}
diesel::table! {
    visit (id) {
        id -> Integer,
        page -> Text,
    }
}
diesel::joinable!(post -> author (author_id));
diesel::joinable!(comment -> post (post_id));
diesel::allow_tables_to_appear_in_same_query!(author, post, comment);
diesel::define_sql_function! { fn lower(text: diesel::sql_types::Text) -> diesel::sql_types::Text; }

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Identifiable, AsChangeset)]
#[diesel(table_name = author)]
pub(crate) struct Author {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) mood: Mood,
    pub(crate) moods: Vec<Option<Mood>>,
    pub(crate) wanted: Option<Mood>,
    pub(crate) profile: serde_json::Value,
    pub(crate) visits: i32,
}

#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = author)]
pub(crate) struct NewAuthor<'a> {
    pub(crate) name: &'a str,
    pub(crate) mood: Mood,
    pub(crate) moods: Vec<Option<Mood>>,
    pub(crate) wanted: Option<Mood>,
    pub(crate) profile: serde_json::Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Identifiable, Associations, AsChangeset)]
#[diesel(table_name = post, belongs_to(Author))]
pub(crate) struct Post {
    pub(crate) id: i32,
    pub(crate) author_id: i32,
    pub(crate) title: String,
    pub(crate) body: Option<String>,
    pub(crate) likes: i32,
}

#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = post)]
pub(crate) struct NewPost {
    pub(crate) author_id: i32,
    pub(crate) title: String,
    pub(crate) body: Option<String>,
}

/// Changes what is given; `Some(None)` empties the text.
#[derive(Debug, Clone, Identifiable, AsChangeset)]
#[diesel(table_name = post)]
pub(crate) struct Edit {
    pub(crate) id: i32,
    pub(crate) title: Option<String>,
    pub(crate) body: Option<Option<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Identifiable, Associations)]
#[diesel(table_name = comment, belongs_to(Post))]
pub(crate) struct Comment {
    pub(crate) id: i32,
    pub(crate) post_id: i32,
    pub(crate) text: String,
}

#[derive(Debug, PartialEq, Eq, QueryableByName)]
pub(crate) struct Ranked {
    #[diesel(sql_type = diesel::sql_types::Text)]
    pub(crate) title: String,
    #[diesel(sql_type = BigInt)]
    pub(crate) rank: i64,
}

#[derive(Debug, PartialEq, Eq, QueryableByName)]
pub(crate) struct Flag {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    pub(crate) flag: bool,
}

#[derive(Debug, PartialEq, Eq, QueryableByName)]
pub(crate) struct Word {
    #[diesel(sql_type = diesel::sql_types::Text)]
    pub(crate) word: String,
}

/// One page of a query, and how many rows there are in all: the recipe of Diesel's guide.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct Paginated<T> {
    query: T,
    offset: i64,
}

pub(crate) const PAGE: i64 = 3;

pub(crate) trait Paginate: Sized {
    fn paginate(self, page: i64) -> Paginated<Self> {
        Paginated { query: self, offset: page * PAGE }
    }
}

impl<T> Paginate for T {}

impl<T: Query> Query for Paginated<T> {
    type SqlType = (T::SqlType, BigInt);
}

impl<T, C> RunQueryDsl<C> for Paginated<T> {}

impl<T: QueryFragment<Pg>> QueryFragment<Pg> for Paginated<T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT *, COUNT(*) OVER () FROM (");
        self.query.walk_ast(out.reborrow())?;
        out.push_sql(") t LIMIT ");
        out.push_bind_param::<BigInt, _>(&PAGE)?;
        out.push_sql(" OFFSET ");
        out.push_bind_param::<BigInt, _>(&self.offset)
    }
}

/// What an application tells of an error, without what differs from driver to driver.
pub(crate) fn told<T: std::fmt::Debug>(result: QueryResult<T>) -> String {
    use diesel::result::Error;
    match result {
        Err(Error::DatabaseError(kind, info)) => {
            format!(
                "{kind:?}: {}, {:?}, {:?}, {:?}",
                info.message(),
                info.details(),
                info.table_name(),
                info.constraint_name()
            )
        }
        other => format!("{other:?}"),
    }
}

/// What an application saw: each of its chapters, and the values that came out of it.
pub(crate) type Story = Vec<(&'static str, String)>;
