//! Which node serves which operation, as the server tells it.

use std::collections::HashSet;

use futures_util::TryStreamExt;
use rr_core::{Connector as _, Request};
use rr_seaorm::RoutedConnection;
use sea_orm::ActiveValue::{Set, Unchanged};
use sea_orm::sea_query::{CommonTableExpression, Expr, ExprTrait, Query};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbBackend, EntityTrait, FromQueryResult,
    ModelTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, SelectExt, Statement, StreamTrait,
    TransactionTrait,
};

use crate::support::{
    PATIENCE, Result, ask, boot, connect, note, notes, on_standby, raw, seen, server_port, until,
};

/// Rows of `seen`: two on a standby, one on the primary.
const STANDBY: u64 = 2;
const PRIMARY: u64 = 1;

#[tokio::test]
async fn every_kind_of_read_is_served_by_a_standby() -> Result {
    let cluster = boot(2).await?;
    let db = &connect(&cluster).await?;
    assert_eq!(reads(db).await?, vec![STANDBY; 28]);
    assert_eq!(reads(&db.use_primary()).await?, vec![PRIMARY; 28]);
    Ok(())
}

async fn reads(db: &RoutedConnection) -> Result<Vec<u64>> {
    #[derive(FromQueryResult)]
    struct Part {
        id: i32,
    }
    let find = seen::Entity::find;
    let highest = || find().order_by_desc(seen::Column::Id);
    let parts = highest().into_model::<Part>().one(db).await?.ok_or("a part")?;
    let tuples: Vec<i32> = find().select_only().column(seen::Column::Id).into_tuple().all(db).await?;
    let with = Query::select().column(seen::Column::Id).from("both").to_owned().with(
        Query::with()
            .cte(
                CommonTableExpression::new()
                    .query(Query::select().column(seen::Column::Id).from(seen::Entity).to_owned())
                    .table_name("both")
                    .to_owned(),
            )
            .to_owned(),
    );
    let mut cursor = find().cursor_by(seen::Column::Id);
    let select = Query::select().column(seen::Column::Id).from(seen::Entity).to_owned();
    let count = |rows: usize| u64::try_from(rows).unwrap_or_default();
    Ok(vec![
        count(find().all(db).await?.len()),
        highest().one(db).await?.ok_or("a row")?.id.try_into()?,
        if seen::Entity::find_by_id(2).one(db).await?.is_some() { STANDBY } else { PRIMARY },
        find().count(db).await?,
        find().paginate(db, 10).num_items().await?,
        count(find().paginate(db, 10).fetch_page(0).await?.len()),
        count(cursor.first(10).all(db).await?.len()),
        count(find().stream(db).await?.try_collect::<Vec<_>>().await?.len()),
        parts.id.try_into()?,
        count(tuples.len()),
        count(db.query_all(&select).await?.len()),
        count(db.query_all(&with).await?.len()),
        db.execute(&select).await?.rows_affected(),
        db.execute_raw(raw("SELECT * FROM seen")).await?.rows_affected(),
        count(db.stream_raw(raw("SELECT * FROM seen")).await?.try_collect::<Vec<_>>().await?.len()),
        count(find().into_json().all(db).await?.len()),
        highest().into_json().one(db).await?.and_then(|row| row["id"].as_u64()).ok_or("a row")?,
        count(find().into_json().stream(db).await?.try_collect::<Vec<_>>().await?.len()),
        count(find().into_json().paginate(db, 10).fetch_page(0).await?.len()),
        if find().filter(seen::Column::Id.eq(2)).exists(db).await? { STANDBY } else { PRIMARY },
        find().paginate(db, 1).num_pages().await?,
        count(find().paginate(db, 1).into_stream().try_collect::<Vec<_>>().await?.len()),
        count(find().cursor_by(seen::Column::Id).last(10).all(db).await?.len()),
        count(find().from_raw_sql(raw("SELECT * FROM seen")).all(db).await?.len()),
        find().from_raw_sql(raw("SELECT * FROM seen")).paginate(db, 10).num_items().await?,
        count(find().from_raw_sql(raw("SELECT * FROM seen")).paginate(db, 10).fetch_page(0).await?.len()),
        count(
            find()
                .from_raw_sql(raw("SELECT * FROM seen"))
                .stream(db)
                .await?
                .try_collect::<Vec<_>>()
                .await?
                .len(),
        ),
        // Read on the primary, text may hold several statements; on a replica it is what it is as well.
        db.execute_unprepared("SELECT * FROM seen").await?.rows_affected(),
    ])
}

#[tokio::test]
async fn every_kind_of_write_runs_on_the_primary_at_once() -> Result {
    let cluster = boot(1).await?;
    // Every row says where it was written, and how often.
    cluster
        .primary()
        .sql(
            "CREATE TABLE trace (port int); CREATE FUNCTION traced() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN INSERT INTO trace VALUES (on_port()); RETURN NULL; END $$; \
             CREATE TRIGGER traced AFTER INSERT OR UPDATE OR DELETE ON note FOR EACH STATEMENT EXECUTE FUNCTION traced()",
        )
        .await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let db = &connect(&cluster).await?;
    let written = async || -> Result<i64> {
        Ok(cluster.primary().query_text("SELECT count(*)::text FROM trace").await?.parse()?)
    };
    let text = |text: &str| note::ActiveModel { text: Set(text.to_owned()), ..Default::default() };
    let mut writes = 0;
    macro_rules! writes_once {
        ($($operation:expr),+ $(,)?) => {$(
            let done = $operation;
            writes += 1;
            assert_eq!(written().await?, writes, "{}", stringify!($operation));
            drop(Box::new(done));
        )+};
    }
    let first = text("insert").insert(db).await?;
    let second = text("insert").insert(db).await?;
    let third = text("insert").insert(db).await?;
    writes += 3;
    let id = Unchanged(first.id);
    writes_once!(
        note::ActiveModel { id: id.clone(), stars: Set(1), ..Default::default() }.update(db).await?,
        note::ActiveModel { id: id.clone(), stars: Set(2), ..Default::default() }.save(db).await?,
        text("save").save(db).await?,
        note::Entity::insert(text("exec")).exec(db).await?,
        note::Entity::insert(text("returning")).exec_with_returning(db).await?,
        note::Entity::insert_many([text("a"), text("b")]).exec(db).await?,
        note::Entity::insert_many([text("c"), text("d")]).exec_with_returning(db).await?,
        note::Entity::insert(text("without")).exec_without_returning(db).await?,
        note::Entity::insert_many([text("e"), text("f")]).exec_with_returning_keys(db).await?,
        note::ActiveModel { id: id.clone(), stars: Set(4), ..Default::default() }
            .update_without_returning(db)
            .await?,
        note::Entity::update(note::ActiveModel { id: id.clone(), stars: Set(5), ..Default::default() })
            .exec(db)
            .await?,
        note::Entity::insert(text("try")).on_conflict_do_nothing().exec(db).await?,
        note::Entity::insert(text("try")).on_conflict_do_nothing().exec_without_returning(db).await?,
        db.execute(
            Query::insert()
                .into_table(note::Entity)
                .columns([note::Column::Text])
                .select_from(Query::select().column(note::Column::Text).from(note::Entity).to_owned())?
        )
        .await?,
        note::Entity::update_many()
            .col_expr(note::Column::Stars, Expr::col(note::Column::Stars).add(1))
            .filter(note::Column::Text.eq("a"))
            .exec(db)
            .await?,
        note::Entity::update_many()
            .col_expr(note::Column::Stars, Expr::value(7))
            .filter(Condition::all().add(note::Column::Text.eq("b")))
            .exec_with_returning(db)
            .await?,
        note::Entity::delete(note::ActiveModel { id: id.clone(), ..Default::default() }).exec(db).await?,
        note::Entity::delete(note::ActiveModel { id: Unchanged(second.id), ..Default::default() })
            .exec_with_returning(db)
            .await?,
        note::Entity::delete_by_id(third.id).exec(db).await?,
        note::Entity::delete_many().filter(note::Column::Text.eq("c")).exec(db).await?,
        note::Entity::delete_many().filter(note::Column::Text.eq("e")).exec_with_returning(db).await?,
        note::Entity::find().filter(note::Column::Text.eq("d")).one(db).await?.ok_or("d")?.delete(db).await?,
        db.execute_unprepared("INSERT INTO note (text) VALUES ('unprepared')").await?,
        db.execute_raw(raw("INSERT INTO note (text) VALUES ('raw')")).await?,
        db.query_one_raw(raw("INSERT INTO note (text) VALUES ('one') RETURNING id")).await?,
        db.query_all_raw(raw("UPDATE note SET stars = 3 RETURNING id")).await?,
        db.query_one_raw(raw("WITH x AS (DELETE FROM note RETURNING id) SELECT count(*) FROM x")).await?,
        db.stream_raw(raw("INSERT INTO note (text) VALUES ('stream') RETURNING id"))
            .await?
            .try_collect::<Vec<_>>()
            .await?,
    );
    let ports =
        cluster.primary().query_text("SELECT string_agg(DISTINCT port::text, ' ') FROM trace").await?;
    assert_eq!(ports, cluster.primary().query_text("SELECT current_setting('port')").await?);
    let log = cluster.replica(1)?.log_tail();
    assert!(!log.contains("read-only transaction"), "no write was tried on the standby: {log}");
    Ok(())
}

#[tokio::test]
async fn text_is_routed_by_what_it_says() -> Result {
    let cluster = boot(2).await?;
    cluster.primary().sql("INSERT INTO note (text) VALUES ('first')").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let db = &connect(&cluster).await?;
    let table = [
        ("SELECT on_standby()", true),
        ("SELECT on_standby() FROM note LIMIT 1", true),
        ("WITH x AS (SELECT 1) SELECT on_standby() FROM x", true),
        ("/*rr:primary*/ SELECT on_standby()", false),
        ("SELECT on_standby() FROM note FOR UPDATE", false),
        ("SELECT on_standby() FROM note FOR SHARE SKIP LOCKED", false),
        ("INSERT INTO note (text) VALUES ('x') RETURNING on_standby()", false),
        ("SELECT on_standby(), pg_advisory_lock(1), pg_advisory_unlock(1)", false),
        ("SELECT pg_is_in_recovery()", false),
    ];
    for (sql, standby) in table {
        assert_eq!(ask::<bool>(db, sql).await?, standby, "{sql}");
    }
    until("the standbys to have it", async || Ok(on_standby(db).await?)).await?;
    // The builder's lock shows in its text only.
    let locked = || {
        note::Entity::find()
            .select_only()
            .expr_as(Expr::cust("on_standby()"), "standby")
            .lock_exclusive()
            .into_tuple::<bool>()
    };
    assert_eq!(locked().one(db).await?, Some(false));
    let streamed = locked().stream(db).await?.try_collect::<Vec<_>>().await?;
    assert!(!streamed.is_empty() && streamed.iter().all(|standby| !standby), "{streamed:?}");
    Ok(())
}

#[tokio::test]
async fn a_misrouted_write_reaches_the_primary_once_and_is_learned() -> Result {
    let cluster = boot(1).await?;
    cluster
        .primary()
        .sql(
            "CREATE TABLE tally (n int); CREATE FUNCTION touch() RETURNS bool LANGUAGE sql VOLATILE AS \
             $$ INSERT INTO tally VALUES (1); SELECT on_standby() $$",
        )
        .await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let db = &connect(&cluster).await?;
    let replica = cluster.replica(1)?;
    let refused = || replica.log_tail().matches("cannot execute INSERT in a read-only transaction").count();
    until("the standby to serve", async || Ok(on_standby(db).await?)).await?;
    for round in 1..=3 {
        assert!(!ask::<bool>(db, "SELECT touch()").await?);
        assert_eq!(
            ask::<i64>(db, "SELECT count(*) FROM tally").await?,
            round,
            "and its effect is read at once"
        );
        assert_eq!(refused(), 1, "the replica is asked once and never again");
        assert_eq!(db.router().connector().misroutes(), Some(1));
    }
    let streamed = async |sql: &str| -> Result<usize> {
        Ok(db.stream_raw(raw(sql)).await?.try_collect::<Vec<_>>().await?.len())
    };
    until("the standby to serve", async || Ok(on_standby(db).await?)).await?;
    assert_eq!(streamed("SELECT touch() AS streamed").await?, 1);
    assert_eq!(streamed("SELECT touch() AS streamed").await?, 1);
    assert_eq!((refused(), db.router().connector().misroutes()), (2, Some(2)));
    assert_eq!(ask::<i64>(db, "SELECT count(*) FROM tally").await?, 5);
    Ok(())
}

/// Servers say what is wrong in the words of their country.
#[tokio::test]
async fn a_refusal_is_known_by_its_code_in_whatever_language() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let codes = ["25006", "0A000", "42P01", "3D000"];
    for code in codes {
        let function = format!(
            "CREATE FUNCTION refuses_{code}() RETURNS bool STABLE LANGUAGE plpgsql AS $$ BEGIN \
             IF on_standby() THEN RAISE 'kann hier nicht ausgeführt werden' USING ERRCODE = '{code}'; END IF; \
             RETURN on_standby(); END $$"
        );
        cluster.primary().sql(&function).await?;
    }
    cluster.wait_caught_up(PATIENCE).await?;
    let replica = cluster.replica(1)?;
    for code in codes {
        let refused = || replica.log().matches("ERROR:  kann hier nicht ausgeführt werden").count();
        let before = refused();
        until("the standby to serve", async || Ok(on_standby(&db).await?)).await?;
        let asked = format!("SELECT refuses_{code}()");
        assert!(!ask::<bool>(&db, &asked).await?, "{code}: the primary answers");
        until("the standby to serve", async || Ok(on_standby(&db).await?)).await?;
        assert!(!ask::<bool>(&db, &asked).await?, "{code}: the primary answers");
        // What is not there yet may be there the next time.
        let learned = matches!(code, "25006" | "0A000");
        assert_eq!(refused() - before, if learned { 1 } else { 2 }, "{code}");
    }
    assert_eq!(db.router().connector().misroutes(), Some(2));
    Ok(())
}

/// Pinged is the primary, and closed is everything.
#[tokio::test]
async fn a_connection_is_pinged_and_closed() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    assert!(db.support_returning());
    let used = || -> Result<u32> { Ok(db.router().route(&Request::write())?.pool().connections().0) };
    assert_eq!(used()?, 0);
    db.ping().await?;
    assert_eq!(used()?, 1, "a connection of the primary's pool");
    assert!(!on_standby(&*db).await?);
    db.close_by_ref().await?;
    for node in cluster.nodes() {
        let sql = "SELECT count(*)::text FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename = 'app'";
        until("all connections to be closed", async || Ok(node.admin_query_text(sql).await? == "0")).await?;
    }
    db.ping().await.unwrap_err();
    on_standby(&db).await.unwrap_err();
    Ok(())
}

/// Nobody refuses it there, and nothing is learned: what it wrote must be read all the same.
#[tokio::test]
async fn a_misrouted_write_on_the_primary_is_read() -> Result {
    let cluster = boot(1).await?;
    cluster
        .primary()
        .sql(
            "CREATE TABLE tally (n int); CREATE FUNCTION touch() RETURNS bool LANGUAGE sql VOLATILE AS \
             $$ INSERT INTO tally VALUES (1); SELECT on_standby() $$",
        )
        .await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let db = &crate::support::started(crate::support::replicas_only(&cluster)).await?;
    let primary = &db.use_primary();
    let tally = async || ask::<i64>(db, "SELECT count(*) FROM tally").await;
    for round in 0..20 {
        assert!(!ask::<bool>(primary, "SELECT touch()").await?);
        assert_eq!(tally().await?, 3 * round + 1);
        let rows = primary.stream_raw(raw("SELECT touch()")).await?;
        assert_eq!(rows.try_collect::<Vec<_>>().await?.len(), 1);
        assert_eq!(tally().await?, 3 * round + 2);
        let transaction = db.begin().await?;
        transaction.query_one_raw(raw("SELECT touch()")).await?;
        transaction.commit().await?;
        assert_eq!(tally().await?, 3 * round + 3);
    }
    Ok(())
}

/// What it did the last time says nothing of what it does with other values.
#[tokio::test]
async fn a_function_that_writes_now_and_then_is_never_trusted() -> Result {
    let cluster = boot(1).await?;
    cluster
        .primary()
        .sql(
            "CREATE FUNCTION found(name text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             IF NOT EXISTS (SELECT FROM note WHERE text = name) THEN INSERT INTO note (text) VALUES (name); END IF; \
             RETURN current_setting('transaction_read_only'); END $$; INSERT INTO note (text) VALUES ('ann')",
        )
        .await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let db = &connect(&cluster).await?;
    let replica = cluster.replica(1)?;
    let find = async |db: &RoutedConnection, name: &str| -> Result<String> {
        let statement =
            Statement::from_sql_and_values(DbBackend::Postgres, "SELECT found($1)", [name.into()]);
        Ok(db.query_one_raw(statement).await?.ok_or("no row")?.try_get_by_index(0)?)
    };
    until("the standby to serve", async || Ok(on_standby(db).await?)).await?;
    replica.pause_replay().await?;
    let primary = &db.use_primary();
    assert_eq!(find(primary, "ann").await?, "off", "it was asked for, and may write");
    assert_eq!(find(primary, "bob").await?, "off");
    assert_eq!(notes(db).await?, 2, "what it wrote is read");
    // No replica may serve, and nobody has asked for the primary.
    assert_eq!(find(db, "ann").await?, "on");
    assert_eq!(find(db, "ann").await?, "on");
    assert_eq!(find(db, "eve").await?, "off", "refused, and run as what it is");
    assert_eq!(notes(db).await?, 3);
    Ok(())
}

#[tokio::test]
async fn what_belongs_to_a_session_behaves_as_in_a_pool_of_one() -> Result {
    let cluster = boot(1).await?;
    let settings = crate::support::config(&cluster).with(|config| config.pool.primary.max = 1);
    let db = &crate::support::started(settings).await?;
    assert!(on_standby(db).await?);
    db.execute_unprepared("SET application_name = 'kept'").await?;
    db.execute_unprepared("CREATE TEMP TABLE mine (n int)").await?;
    db.execute_unprepared("INSERT INTO mine VALUES (1)").await?;
    let primary = &db.use_primary();
    assert_eq!(ask::<String>(primary, "SELECT current_setting('application_name')").await?, "kept");
    assert_eq!(ask::<i64>(primary, "SELECT count(*) FROM mine").await?, 1);
    assert_eq!(ask::<i64>(db, "SELECT count(*) FROM mine").await?, 1, "the standby does not have it");
    assert_eq!(notes(db).await?, 0);
    Ok(())
}

#[tokio::test]
async fn reads_are_spread() -> Result {
    let cluster = boot(2).await?;
    let db = &connect(&cluster).await?;
    let primary = server_port(cluster.primary())?;
    let mut ports = HashSet::new();
    until("both standbys to have served", async || {
        ports.extend(Some(crate::support::on_port(db).await?).filter(|port| *port != primary));
        Ok(ports.len() == 2)
    })
    .await?;
    Ok(())
}
