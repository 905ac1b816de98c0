//! Transactions: by hand, closures, async closures, nested ones, and every option.

use std::pin::Pin;

use futures_util::TryStreamExt;
use sea_orm::entity::prelude::*;
use sea_orm::{
    AccessMode, ActiveValue::Set, IntoActiveModel, IsolationLevel, QueryOrder, QuerySelect, TransactionError,
    TransactionOptions, TransactionTrait,
};

use super::database::{DatabaseConnection, DatabaseTransaction};
use super::diary::Diary;
use super::entity::{album, artist};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, DbErr>> + Send + 'a>>;

async fn release(txn: &DatabaseTransaction, artist: &str, title: &str) -> Result<album::Model, DbErr> {
    let artist = match artist::Entity::find_by_name(artist).one(txn).await? {
        Some(artist) => artist,
        None => {
            artist::ActiveModel { name: Set(artist.to_owned()), ..Default::default() }.insert(txn).await?
        }
    };
    let album = album::ActiveModel {
        artist_id: Set(artist.id),
        title: Set(title.to_owned()),
        year: Set(2000),
        stock: Set(1),
        ..Default::default()
    };
    album.insert(txn).await
}

fn boxed<'a>(txn: &'a DatabaseTransaction, artist: &'static str, title: &'static str) -> Boxed<'a, i32> {
    Box::pin(async move { Ok(release(txn, artist, title).await?.stock) })
}

/// Anything that is a connection.
async fn titles<C: ConnectionTrait>(db: &C) -> Result<Vec<String>, DbErr> {
    let find = album::Entity::find().filter(album::Column::Year.eq(2000)).order_by_asc(album::Column::Title);
    find.select_only().column(album::Column::Title).into_tuple().all(db).await
}

pub async fn by_hand(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("transactions by hand");
    let other = db.clone();
    let txn = db.begin().await?;
    release(&txn, "Kim", "a").await?;
    diary.note("inside", titles(&txn).await?);
    diary.note("outside", titles(&other).await?);
    txn.commit().await?;
    diary.note("committed", titles(&other).await?);
    let txn = other.begin().await?;
    release(&txn, "Kim", "b").await?;
    txn.rollback().await?;
    diary.note("rolled back", titles(db).await?);
    let txn = db.begin().await?;
    release(&txn, "Kim", "c").await?;
    drop(txn);
    diary.note("dropped", titles(&other).await?);
    let txn = db.begin().await?;
    release(&txn, "Kim", "d").await?;
    let inner = txn.begin().await?;
    release(&inner, "Kim", "e").await?;
    let third = inner.begin().await?;
    release(&third, "Lea", "f").await?;
    third.commit().await?;
    diary.note("three deep", titles(&inner).await?);
    inner.rollback().await?;
    diary.note("two undone", titles(&txn).await?);
    let inner = txn.begin().await?;
    release(&inner, "Lea", "g").await?;
    drop(inner);
    let inner = txn.begin().await?;
    release(&inner, "Lea", "h").await?;
    inner.commit().await?;
    txn.commit().await?;
    diary.note("what remains", titles(&other).await?);
    Ok(diary)
}

pub async fn closures(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("closures");
    let other = db.clone();
    let stock = db.transaction::<_, i32, DbErr>(|txn| boxed(txn, "Mia", "i")).await;
    diary.note("committed", stock);
    diary.note("seen", titles(&other).await?);
    let failed = db
        .transaction::<_, (), DbErr>(|txn| {
            Box::pin(async move {
                release(txn, "Mia", "j").await?;
                Err(DbErr::Custom("changed my mind".to_owned()))
            })
        })
        .await;
    diary.note("failed", matches!(failed, Err(TransactionError::Transaction(DbErr::Custom(_)))));
    diary.note("not seen", titles(&other).await?);
    let stock = other
        .transaction_async::<_, i32, DbErr>(async |txn| {
            let album = release(txn, "Mia", "k").await?;
            let inner = txn
                .transaction_async::<_, (), DbErr>(async |txn| {
                    release(txn, "Mia", "l").await?;
                    Err(DbErr::Custom("not that one".to_owned()))
                })
                .await;
            assert!(inner.is_err(), "it was asked to fail");
            txn.transaction::<_, i32, DbErr>(|txn| boxed(txn, "Mia", "m")).await.map_err(flat)?;
            let locked = album::Entity::find_by_id(album.id).lock_exclusive().one(txn).await?;
            let mut album = locked.ok_or(DbErr::RecordNotUpdated)?.into_active_model();
            album.stock = Set(77);
            Ok(album.update(txn).await?.stock)
        })
        .await;
    diary.note("async", stock);
    diary.note("seen", titles(db).await?);
    diary.note("stock", album::Entity::find().filter(album::Column::Stock.eq(77)).count(&other).await?);
    Ok(diary)
}

fn flat(error: TransactionError<DbErr>) -> DbErr {
    match error {
        TransactionError::Connection(error) | TransactionError::Transaction(error) => error,
    }
}

pub async fn options(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("options");
    let other = db.clone();
    let levels =
        [IsolationLevel::ReadCommitted, IsolationLevel::RepeatableRead, IsolationLevel::Serializable];
    for level in levels {
        let title = format!("level {level}");
        let txn = db.begin_with_config(Some(level), Some(AccessMode::ReadWrite)).await?;
        release(&txn, "Nia", &title).await?;
        txn.commit().await?;
        let txn = other.begin_with_config(Some(level), Some(AccessMode::ReadOnly)).await?;
        diary.note("read-only", titles(&txn).await?);
        let streamed: Vec<album::Model> = album::Entity::find()
            .filter(album::Column::Title.eq(&title))
            .stream(&txn)
            .await?
            .try_collect()
            .await?;
        diary.note("streamed", streamed.len());
        let refused = release(&txn, "Nia", "never").await;
        diary.note("refused", refused.is_err());
        txn.rollback().await?;
        let read = other
            .transaction_with_config::<_, Vec<String>, DbErr>(
                |txn| Box::pin(async move { titles(txn).await }),
                Some(level),
                Some(AccessMode::ReadOnly),
            )
            .await;
        diary.note("a closure", read);
        let all = db.transaction_with_config_async::<_, u64, DbErr>(
            async |txn| album::Entity::find().count(txn).await,
            Some(level),
            Some(AccessMode::ReadOnly),
        );
        diary.note("an async closure", all.await);
    }
    let txn = db.begin_with_options(TransactionOptions::default()).await?;
    let deleted =
        album::Entity::delete_many().filter(album::Column::Title.starts_with("level")).exec(&txn).await?;
    txn.commit().await?;
    diary.note("deleted", deleted.rows_affected);
    diary.note("left", titles(&other).await?);
    Ok(diary)
}

/// Two handles write in turns, and each sees all of the other's.
pub async fn in_turns(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("in turns");
    let album =
        db.transaction_async::<_, album::Model, DbErr>(async |txn| release(txn, "Ola", "turns").await);
    let id = album.await.map_err(flat)?.id;
    for turn in 0..20 {
        let (one, two) = (db.clone(), db.clone());
        let writer = tokio::spawn(async move {
            one.transaction::<_, (), DbErr>(move |txn| {
                Box::pin(async move {
                    let locked = album::Entity::find_by_id(id).lock_exclusive().one(txn).await?;
                    let mut album = locked.ok_or(DbErr::RecordNotUpdated)?.into_active_model();
                    album.stock = Set(turn);
                    album.update(txn).await.map(drop)
                })
            })
            .await
        });
        writer.await.map_err(|error| DbErr::Custom(error.to_string()))?.map_err(flat)?;
        let reader = tokio::spawn(async move { album::Entity::find_by_id(id).one(&two).await });
        let seen = reader.await.map_err(|error| DbErr::Custom(error.to_string()))??;
        diary.note("seen", seen.map(|album| album.stock));
    }
    Ok(diary)
}
