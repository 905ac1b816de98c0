//! Notes, with an author and tags.

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use rr_core::Consistency;
use rr_core::web::ConsistencyLayer;
use rr_example::Login;
use rr_seaorm::RoutedConnection;
use rr_seaorm::extract::ReadOnly;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, LoaderTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, Select,
};
use serde::{Deserialize, Serialize};

use crate::entity::{note, note_tag, tag, user};
use crate::error::{Error, Result};

/// How many notes a list shows.
const LIST: u64 = 50;

pub(crate) fn routes() -> Router<RoutedConnection> {
    // What somebody else wrote may be seen a moment later.
    let of_user = get(of_user).layer(ConsistencyLayer::new(Consistency::Eventual));
    Router::new()
        .route("/notes", get(list).post(create))
        .route("/notes/count", get(count))
        .route("/notes/{id}", get(show).put(edit))
        .route("/notes/{id}/view", get(view))
        .route("/users/{name}/notes", of_user)
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
async fn list(ReadOnly(db): ReadOnly, Query(filter): Query<Filter>) -> Result<Json<Vec<NoteJson>>> {
    let mut query = note::Entity::find();
    if let Some(name) = filter.tag {
        let tagged = note_tag::Entity::find()
            .inner_join(tag::Entity)
            .filter(tag::Column::Name.eq(name))
            .select_only()
            .column(note_tag::Column::NoteId);
        query = query.filter(note::Column::Id.in_subquery(tagged.into_query()));
    }
    Ok(Json(load(&db, query).await?))
}

/// What a user has written, for others.
async fn of_user(ReadOnly(db): ReadOnly, Path(name): Path<String>) -> Result<Json<Vec<NoteJson>>> {
    let query = note::Entity::find().has_related(user::Entity, user::Column::Name.eq(name));
    Ok(Json(load(&db, query).await?))
}

#[derive(Serialize)]
struct Count {
    notes: u64,
}

async fn count(ReadOnly(db): ReadOnly) -> Result<Json<Count>> {
    Ok(Json(Count { notes: note::Entity::find().count(&db).await? }))
}

/// Makes a note, for which its author gets a point.
async fn create(
    db: RoutedConnection,
    login: Login,
    Json(input): Json<NoteInput>,
) -> Result<impl IntoResponse> {
    let id = db
        .transaction_async(async |transaction| {
            let authors = user::Entity::update_many()
                .col_expr(user::Column::Balance, Expr::col(user::Column::Balance).add(1))
                .filter(user::Column::Name.eq(login.name()))
                .exec_with_returning(transaction)
                .await?;
            let author = authors.first().ok_or(Error::NotFound)?;
            let new = note::ActiveModel {
                author_id: Set(author.id),
                title: Set(input.title.clone()),
                body: Set(input.body.clone()),
                ..Default::default()
            };
            let note = new.insert(transaction).await?;
            add_tags(transaction, note.id, &input.tags).await?;
            Ok::<i32, Error>(note.id)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(find(&db, id).await?)))
}

async fn show(ReadOnly(db): ReadOnly, Path(id): Path<i32>) -> Result<Json<NoteJson>> {
    Ok(Json(find(&db, id).await?))
}

/// Shows a note and counts that: a `GET` that writes.
async fn view(db: RoutedConnection, Path(id): Path<i32>) -> Result<Json<NoteJson>> {
    note::Entity::update_many()
        .col_expr(note::Column::Views, Expr::col(note::Column::Views).add(1))
        .filter(note::Column::Id.eq(id))
        .exec(&db)
        .await?;
    Ok(Json(find(&db, id).await?))
}

/// Changes a note of the user's own.
async fn edit(
    db: RoutedConnection,
    login: Login,
    Path(id): Path<i32>,
    Json(input): Json<NoteInput>,
) -> Result<Json<NoteJson>> {
    db.transaction_async(async |transaction| {
        let own = user::Entity::find_by_name(login.name()).one(transaction).await?.ok_or(Error::NotFound)?;
        let changed = note::Entity::update_many()
            .col_expr(note::Column::Title, input.title.clone().into())
            .col_expr(note::Column::Body, input.body.clone().into())
            .col_expr(note::Column::Revision, Expr::col(note::Column::Revision).add(1))
            .filter(note::Column::Id.eq(id))
            .filter(note::Column::AuthorId.eq(own.id))
            .exec(transaction)
            .await?;
        if changed.rows_affected == 0 {
            return Err(Error::NotFound);
        }
        note_tag::Entity::delete_many().filter(note_tag::Column::NoteId.eq(id)).exec(transaction).await?;
        add_tags(transaction, id, &input.tags).await
    })
    .await?;
    Ok(Json(find(&db, id).await?))
}

/// Gives a note its tags, which are made when they are new.
async fn add_tags(db: &impl ConnectionTrait, note: i32, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let new = names.iter().map(|name| tag::ActiveModel { name: Set(name.clone()), ..Default::default() });
    let known = OnConflict::column(tag::Column::Name).do_nothing().to_owned();
    tag::Entity::insert_many(new).on_conflict(known).exec_without_returning(db).await?;
    let tags = tag::Entity::find().filter(tag::Column::Name.is_in(names)).all(db).await?;
    let links = tags.iter().map(|tag| note_tag::ActiveModel { note_id: Set(note), tag_id: Set(tag.id) });
    note_tag::Entity::insert_many(links).exec_without_returning(db).await?;
    Ok(())
}

async fn find(db: &RoutedConnection, id: i32) -> Result<NoteJson> {
    let query = note::Entity::find().filter(note::Column::Id.eq(id));
    load(db, query).await?.pop().ok_or(Error::NotFound)
}

async fn load(db: &RoutedConnection, query: Select<note::Entity>) -> Result<Vec<NoteJson>> {
    let newest = query.order_by_desc(note::Column::Id).limit(LIST);
    let found = newest.find_also_related(user::Entity).all(db).await?;
    let (notes, authors): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let tags = notes.load_many_to_many(tag::Entity, note_tag::Entity, db).await?;
    let json = notes.into_iter().zip(authors).zip(tags).map(|((note, author), tags)| {
        let mut tags: Vec<_> = tags.into_iter().map(|tag| tag.name).collect();
        tags.sort();
        NoteJson {
            id: note.id,
            author: author.map(|author| author.name).unwrap_or_default(),
            title: note.title,
            body: note.body,
            tags,
            revision: note.revision,
            views: note.views,
        }
    });
    Ok(json.collect())
}
