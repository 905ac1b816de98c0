//! SQL as text.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Alias, Query, UnionType};
use sea_orm::{ExprTrait, FromQueryResult, JsonValue, Statement, raw_sql};

use super::database::DatabaseConnection;
use super::diary::Diary;
use super::entity::{artist, genre};

#[derive(Debug, FromQueryResult)]
pub struct Row {
    pub id: i32,
    pub name: String,
}

pub async fn statements(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("raw");
    let other = db.clone();
    let backend = db.get_database_backend();
    let created =
        "DROP TABLE IF EXISTS shelf; CREATE TABLE shelf (id serial PRIMARY KEY, name text NOT NULL, n int)";
    db.execute_unprepared(created).await?;
    let insert = "INSERT INTO shelf (name, n) VALUES ($1, $2)";
    for (name, n) in [("top", 1), ("middle", 2), ("bottom", 3)] {
        let inserted =
            db.execute_raw(Statement::from_sql_and_values(backend, insert, [name.into(), n.into()])).await?;
        diary.note("inserted", inserted.rows_affected());
        let count = Statement::from_string(backend, "SELECT count(*) FROM shelf");
        let count = other.query_one_raw(count).await?.ok_or(DbErr::RecordNotInserted)?;
        diary.note("counted", count.try_get_by_index::<i64>(0)?);
    }
    let returning = "INSERT INTO shelf (name, n) VALUES ('floor', 4) RETURNING id, name";
    let returned = Row::find_by_statement(Statement::from_string(backend, returning)).one(db).await?;
    diary.note("returned", returned);
    let cte = "WITH moved AS (UPDATE shelf SET n = n + 10 WHERE n > 2 RETURNING id, name) SELECT * FROM moved ORDER BY id";
    diary.note("moved", Row::find_by_statement(Statement::from_string(backend, cte)).all(db).await?);
    let all = "SELECT id, name FROM shelf WHERE n > 10 ORDER BY id";
    diary.note("read", Row::find_by_statement(Statement::from_string(backend, all)).all(&other).await?);
    let name = "middle";
    let one = Row::find_by_statement(raw_sql!(Postgres, "SELECT id, name FROM shelf WHERE name = {name}"))
        .one(&other);
    diary.note("by macro", one.await?);
    let genres = [1, 2];
    let all = genre::Entity::find()
        .from_raw_sql(raw_sql!(Postgres, "SELECT * FROM genre WHERE id IN ({..genres}) ORDER BY id"))
        .all(db)
        .await?;
    diary.note("entities", all);
    let json = Statement::from_string(backend, "SELECT name, n FROM shelf ORDER BY id");
    diary.note("JSON", JsonValue::find_by_statement(json).all(&other).await?);
    let locked = "SELECT id, name FROM shelf ORDER BY id FOR UPDATE";
    diary
        .note("locked", Row::find_by_statement(Statement::from_string(backend, locked)).all(db).await?.len());
    let next = Statement::from_string(backend, "SELECT nextval('shelf_id_seq')::int AS id, 'next' AS name");
    diary.note("next", Row::find_by_statement(next).one(db).await?);
    let explained = Statement::from_string(backend, "EXPLAIN (COSTS OFF) SELECT name FROM shelf");
    diary.note("explained", other.query_all_raw(explained).await?.len());
    let wrong = other.query_all_raw(Statement::from_string(backend, "SELECT nothing FROM shelf")).await;
    diary.note("wrong", wrong.is_err());
    diary.note("division", other.execute_unprepared("SELECT 1 / 0").await.is_err());
    diary.note("deleted", db.execute_unprepared("DELETE FROM shelf WHERE n < 10").await?.rows_affected());
    let left = Statement::from_string(backend, "TABLE shelf");
    diary.note("left", other.query_all_raw(left).await?.len());
    Ok(diary)
}

/// Statements that are built and not an entity's.
pub async fn built(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("built");
    let other = db.clone();
    let shelf = Alias::new("shelf");
    let insert = Query::insert()
        .into_table(shelf.clone())
        .columns(["name", "n"])
        .values_panic(["new".into(), 5.into()])
        .to_owned();
    diary.note("inserted", db.execute(&insert).await?.rows_affected());
    let select = Query::select()
        .columns(["id", "name"])
        .from(shelf.clone())
        .and_where(Expr::col("n").eq(5))
        .to_owned();
    let row = other.query_one(&select).await?.ok_or(DbErr::RecordNotInserted)?;
    diary.note("read", Row::from_query_result(&row, "")?.name);
    let update = Query::update()
        .table(shelf.clone())
        .value("n", 6)
        .and_where(Expr::col("name").eq("new"))
        .returning_col("n")
        .to_owned();
    let row = db.query_one(&update).await?.ok_or(DbErr::RecordNotInserted)?;
    diary.note("returned", row.try_get::<i32>("", "n")?);
    let union = Query::select()
        .expr(Expr::val("shelf"))
        .column("name")
        .from(shelf.clone())
        .union(
            UnionType::All,
            Query::select().expr(Expr::val("genre")).column("name").from(genre::Entity).to_owned(),
        )
        .order_by_expr(Expr::cust("1, 2"), sea_orm::Order::Asc)
        .to_owned();
    let rows = other.query_all(&union).await?;
    let rows: Result<Vec<(String, String)>, DbErr> =
        rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect();
    diary.note("union", rows?);
    let delete = Query::delete().from_table(shelf).returning_col("name").to_owned();
    diary.note("deleted", db.query_all(&delete).await?.len());
    let backend = artist::Entity::find().filter(artist::Column::Name.eq("x"));
    diary.note("debugged", sea_orm::QueryTrait::build(&backend, db.get_database_backend()).to_string());
    db.ping().await?;
    Ok(diary)
}
