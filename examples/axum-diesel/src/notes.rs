//! Notes, with an author and tags.

use std::collections::HashMap;

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};
use rr_core::Consistency;
use rr_core::web::ConsistencyLayer;
use rr_diesel::extract::ReadOnly;
use rr_diesel::{RoutedPgConnection, RoutedPool};
use rr_example::Login;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::schema::{note_tags, notes, tags, users};

/// How many notes a list shows.
const LIST: i64 = 50;

pub(crate) fn routes() -> Router<RoutedPool> {
    // What somebody else wrote may be seen a moment later.
    let of_user = get(of_user).layer(ConsistencyLayer::new(Consistency::Eventual));
    Router::new()
        .route("/notes", get(list).post(create))
        .route("/notes/count", get(count))
        .route("/notes/{id}", get(show).put(edit))
        .route("/notes/{id}/view", get(view))
        .route("/users/{name}/notes", of_user)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = notes)]
struct Note {
    id: i32,
    title: String,
    body: String,
    revision: i32,
    views: i32,
}

/// A note as clients see it.
#[derive(Serialize)]
struct NoteJson {
    id: i32,
    author: String,
    title: String,
    body: String,
    tags: Vec<String>,
    revision: i32,
    views: i32,
}

#[derive(Deserialize)]
struct NoteInput {
    title: String,
    body: String,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Filter {
    tag: Option<String>,
}

/// The newest notes, perhaps only those with a tag.
async fn list(ReadOnly(mut conn): ReadOnly, Query(filter): Query<Filter>) -> Result<Json<Vec<NoteJson>>> {
    let conn = &mut conn;
    let mut query =
        notes::table.inner_join(users::table).select((Note::as_select(), users::name)).into_boxed();
    if let Some(tag) = filter.tag {
        let tagged =
            note_tags::table.inner_join(tags::table).filter(tags::name.eq(tag)).select(note_tags::note_id);
        query = query.filter(notes::id.eq_any(tagged));
    }
    let found = query.order(notes::id.desc()).limit(LIST).load(conn).await?;
    Ok(Json(with_tags(conn, found).await?))
}

/// What a user has written, for others.
async fn of_user(ReadOnly(mut conn): ReadOnly, Path(name): Path<String>) -> Result<Json<Vec<NoteJson>>> {
    let conn = &mut conn;
    let found = notes::table
        .inner_join(users::table)
        .filter(users::name.eq(name))
        .select((Note::as_select(), users::name))
        .order(notes::id.desc())
        .limit(LIST)
        .load(conn)
        .await?;
    Ok(Json(with_tags(conn, found).await?))
}

#[derive(Serialize)]
struct Count {
    notes: i64,
}

async fn count(ReadOnly(mut conn): ReadOnly) -> Result<Json<Count>> {
    let notes = notes::table.count().get_result(&mut conn).await?;
    Ok(Json(Count { notes }))
}

/// Makes a note, for which its author gets a point.
async fn create(
    mut conn: RoutedPgConnection,
    login: Login,
    Json(input): Json<NoteInput>,
) -> Result<impl IntoResponse> {
    let id = conn
        .transaction(async |conn| {
            let author: i32 = diesel::update(users::table.filter(users::name.eq(login.name())))
                .set(users::balance.eq(users::balance + 1))
                .returning(users::id)
                .get_result(conn)
                .await?;
            let new =
                (notes::author_id.eq(author), notes::title.eq(&input.title), notes::body.eq(&input.body));
            let id =
                diesel::insert_into(notes::table).values(new).returning(notes::id).get_result(conn).await?;
            tag(conn, id, &input.tags).await?;
            Ok::<i32, Error>(id)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(find(&mut conn, id).await?)))
}

async fn show(ReadOnly(mut conn): ReadOnly, Path(id): Path<i32>) -> Result<Json<NoteJson>> {
    Ok(Json(find(&mut conn, id).await?))
}

/// Shows a note and counts that: a `GET` that writes.
async fn view(mut conn: RoutedPgConnection, Path(id): Path<i32>) -> Result<Json<NoteJson>> {
    let conn = &mut conn;
    diesel::update(notes::table.find(id)).set(notes::views.eq(notes::views + 1)).execute(conn).await?;
    Ok(Json(find(conn, id).await?))
}

/// Changes a note of the user's own.
async fn edit(
    mut conn: RoutedPgConnection,
    login: Login,
    Path(id): Path<i32>,
    Json(input): Json<NoteInput>,
) -> Result<Json<NoteJson>> {
    let conn = &mut conn;
    conn.transaction(async |conn| {
        let author = users::table.filter(users::name.eq(login.name())).select(users::id).single_value();
        let own = notes::table.filter(notes::id.eq(id)).filter(notes::author_id.nullable().eq(author));
        let change = (
            notes::title.eq(&input.title),
            notes::body.eq(&input.body),
            notes::revision.eq(notes::revision + 1),
        );
        if diesel::update(own).set(change).execute(conn).await? == 0 {
            return Err(Error::NotFound);
        }
        diesel::delete(note_tags::table.filter(note_tags::note_id.eq(id))).execute(conn).await?;
        tag(conn, id, &input.tags).await
    })
    .await?;
    Ok(Json(find(conn, id).await?))
}

/// Gives a note its tags, which are made when they are new.
async fn tag(conn: &mut RoutedPgConnection, note: i32, names: &[String]) -> Result<()> {
    let new: Vec<_> = names.iter().map(|name| tags::name.eq(name)).collect();
    diesel::insert_into(tags::table).values(new).on_conflict_do_nothing().execute(conn).await?;
    tags::table
        .filter(tags::name.eq_any(names))
        .select((note.into_sql::<diesel::sql_types::Integer>(), tags::id))
        .insert_into(note_tags::table)
        .into_columns((note_tags::note_id, note_tags::tag_id))
        .execute(conn)
        .await?;
    Ok(())
}

async fn find(conn: &mut RoutedPgConnection, id: i32) -> Result<NoteJson> {
    let note = notes::table.find(id).inner_join(users::table).select((Note::as_select(), users::name));
    let found = vec![note.first(conn).await?];
    with_tags(conn, found).await?.pop().ok_or(Error::NotFound)
}

async fn with_tags(conn: &mut RoutedPgConnection, found: Vec<(Note, String)>) -> Result<Vec<NoteJson>> {
    let ids: Vec<i32> = found.iter().map(|(note, _)| note.id).collect();
    let pairs: Vec<(i32, String)> = note_tags::table
        .inner_join(tags::table)
        .filter(note_tags::note_id.eq_any(ids))
        .select((note_tags::note_id, tags::name))
        .order(tags::name)
        .load(conn)
        .await?;
    let mut tags: HashMap<i32, Vec<String>> = HashMap::new();
    for (note, tag) in pairs {
        tags.entry(note).or_default().push(tag);
    }
    let json = |(Note { id, title, body, revision, views }, author)| {
        let tags = tags.remove(&id).unwrap_or_default();
        NoteJson { id, author, title, body, tags, revision, views }
    };
    Ok(found.into_iter().map(json).collect())
}
