// Chapters about statements: transactions, streams, SQL, errors, and what belongs to a session.

fn transactions(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let id = write_author(one, "Tom", Mood::Calm)?.id;
    let visits = || author::table.find(id).select(author::visits);
    let add = |n: i32| diesel::update(author::table.find(id)).set(author::visits.eq(author::visits + n));
    let mut saw = Vec::new();
    let committed = one.transaction::<_, Error, _>(|conn| {
        let before: i32 = visits().for_update().first(conn)?;
        add(1).execute(conn)?;
        let rolled_back = conn.transaction::<(), Error, _>(|conn| {
            add(10).execute(conn)?;
            let deeper = conn.transaction::<_, Error, _>(|conn| add(100).execute(conn))?;
            let inside: i32 = visits().first(conn)?;
            assert_eq!((deeper, inside), (1, before + 111));
            Err(Error::RollbackTransaction)
        });
        let failed = conn.transaction::<_, Error, _>(|conn| {
            insert_into(author::table).values((author::id.eq(id), author::name.eq("x"))).execute(conn)
        });
        let kept = conn.transaction::<_, Error, _>(|conn| add(2).execute(conn))?;
        let inside: i32 = visits().first(conn)?;
        Ok(format!("{before} {rolled_back:?} {} {kept} {inside}", told(failed)))
    })?;
    saw.push(committed);
    saw.push(format!("{}", visits().first::<i32>(two)?));
    let rolled_back = two.transaction::<(), Error, _>(|conn| {
        add(1000).execute(conn)?;
        Err(Error::RollbackTransaction)
    });
    saw.push(format!("{rolled_back:?} {}", visits().first::<i32>(one)?));
    let aborted = one.transaction::<i32, Error, _>(|conn| {
        add(1000).execute(conn)?;
        let refused = add(-10_000).execute(conn);
        assert!(refused.is_err());
        visits().first(conn)
    });
    saw.push(format!("{} {}", told(aborted), visits().first::<i32>(two)?));
    one.test_transaction::<_, Error, _>(|conn| {
        add(1000).execute(conn)?;
        Ok(())
    });
    saw.push(format!("{}", visits().first::<i32>(two)?));
    type Manager = <Conn as Connection>::TransactionManager;
    Manager::begin_transaction(two)?;
    add(5).execute(two)?;
    Manager::begin_transaction(two)?;
    add(50).execute(two)?;
    Manager::rollback_transaction(two)?;
    Manager::commit_transaction(two)?;
    saw.push(format!("{} {}", visits().first::<i32>(one)?, told(Manager::commit_transaction(one))));
    Ok(saw.join("\n"))
}

/// What the server says of the transaction that it is in.
fn kind(conn: &mut Conn) -> QueryResult<String> {
    let kind = "SELECT concat_ws(' ', current_setting('transaction_isolation'), current_setting('transaction_read_only'), \
                current_setting('transaction_deferrable')) AS word";
    Ok(sql_query(kind).get_result::<Word>(conn)?.word)
}

fn options(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let mut saw = Vec::new();
    write_author(two, "Opt", Mood::Calm)?;
    let named = || author::table.filter(author::name.like("Opt%")).select(author::name).order(author::id);
    let read = |conn: &mut Conn| QueryResult::Ok((kind(conn)?, named().load::<String>(conn)?));
    saw.push(format!("{:?}", one.build_transaction().read_only().run(read)?));
    let read = |conn: &mut Conn| QueryResult::Ok((kind(conn)?, named().load::<String>(conn)?));
    saw.push(format!("{:?}", one.build_transaction().read_only().repeatable_read().deferrable().run(read)?));
    let read = |conn: &mut Conn| QueryResult::Ok((kind(conn)?, named().load::<String>(conn)?));
    saw.push(format!("{:?}", one.build_transaction().read_only().serializable().deferrable().run(read)?));
    let write = |conn: &mut Conn| {
        write_author(conn, "Opt 2", Mood::Wild)?;
        QueryResult::Ok((kind(conn)?, named().load::<String>(conn)?.len()))
    };
    saw.push(format!("{:?}", two.build_transaction().serializable().run(write)?));
    saw.push(format!("{:?}", named().load::<String>(one)?));
    let write = |conn: &mut Conn| write_author(conn, "Opt 3", Mood::Wild);
    saw.push(told(one.build_transaction().read_only().run(write)));
    let write = |conn: &mut Conn| {
        let author = write_author(conn, "Opt 4", Mood::Wild)?;
        QueryResult::Ok((kind(conn)?, author.name))
    };
    saw.push(told(one.build_transaction().read_committed().read_write().not_deferrable().run(write)));
    saw.push(told(one.build_transaction().repeatable_read().deferrable().run(kind)));
    saw.push(told(two.build_transaction().run(kind)));
    saw.push(format!("{:?}", named().load::<String>(two)?));
    Ok(saw.join("\n"))
}

fn streams(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let bob: i32 = author::table.filter(author::name.eq("Bob")).select(author::id).first(one)?;
    let titles = || post::table.filter(post::author_id.eq(bob)).select(post::title).order(post::id);
    let all: Vec<String> =
        titles().load_iter::<_, PgRowByRowLoadingMode>(one)?.collect::<QueryResult<_>>()?;
    let some: Vec<QueryResult<String>> =
        titles().load_iter::<_, PgRowByRowLoadingMode>(two)?.take(3).collect();
    diesel::update(post::table.filter(post::title.eq("batch 0"))).set(post::likes.eq(9)).execute(two)?;
    let sum: i32 = post::table
        .select(post::likes)
        .load_iter::<i32, DefaultLoadingMode>(one)?
        .try_fold(0, |sum, likes| QueryResult::Ok(sum + likes?))?;
    let written: Vec<i32> = diesel::update(titles_of(bob))
        .set(post::likes.eq(post::likes + 1))
        .returning(post::likes)
        .load_iter::<i32, PgRowByRowLoadingMode>(one)?
        .collect::<QueryResult<_>>()?;
    let fails = sql_query("SELECT (1 / (3 - n) > 0)::bool AS flag FROM generate_series(1, 5) n");
    let mut fails = fails.load_iter::<Flag, PgRowByRowLoadingMode>(two)?;
    let mut rows = 0;
    let failed = loop {
        match fails.next() {
            Some(Ok(_)) => rows += 1,
            Some(Err(error)) => break told::<()>(Err(error)),
            None => break "no failure".to_owned(),
        }
    };
    drop(fails);
    let after: i64 = post::table.filter(post::author_id.eq(bob)).count().get_result(two)?;
    Ok(format!("{all:?} {some:?} {sum} {written:?} {rows} {failed} {after}"))
}

#[diesel::dsl::auto_type(no_type_alias)]
fn titles_of(id: i32) -> _ {
    let few: diesel::dsl::Like<post::title, &'static str> = post::title.like("batch 1%");
    post::table.filter(post::author_id.eq(id)).filter(few)
}

fn raw_sql(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    one.batch_execute(
        "CREATE TABLE jotting (n int); INSERT INTO jotting VALUES (1), (2); UPDATE jotting SET n = n * 10",
    )?;
    let there: Vec<Ranked> =
        sql_query("SELECT n::text AS title, rank() OVER (ORDER BY n DESC) AS rank FROM jotting ORDER BY n")
            .load(two)?;
    let inserted = sql_query("INSERT INTO jotting SELECT n FROM generate_series($1, $2) n")
        .bind::<Integer, _>(100)
        .bind::<Integer, _>(104)
        .execute(two)?;
    let moved: Vec<Ranked> = sql_query(
        "WITH gone AS (DELETE FROM jotting WHERE n > $1 RETURNING n) SELECT n::text AS title, n::bigint AS rank FROM gone \
         ORDER BY n",
    )
    .bind::<BigInt, _>(102)
    .load(one)
    ?;
    let recursive: Vec<Ranked> = sql_query(
        "WITH RECURSIVE up (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM up WHERE n < 4) \
         SELECT $1 || up.n AS title, count(j.n) AS rank FROM up, jotting j GROUP BY up.n ORDER BY up.n",
    )
    .bind::<Text, _>("row ")
    .load(two)?;
    let fragment: Vec<(String, i64)> = post::table
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("length(title) = ").bind::<Integer, _>(7))
        .select((lower(post::title), diesel::dsl::sql::<BigInt>("likes::bigint * 2")))
        .order(post::id)
        .load(one)?;
    sql_query("CREATE FUNCTION jot(n int) RETURNS bool LANGUAGE sql VOLATILE AS 'INSERT INTO jotting VALUES (n); SELECT true'")
        .execute(one)
        ?;
    let jotted: Flag = sql_query("SELECT jot(7) AS flag").get_result(two)?;
    let count: Flag = sql_query("SELECT count(*) = 6 AS flag FROM jotting").get_result(one)?;
    sql_query("DROP FUNCTION jot").execute(two)?;
    sql_query("DROP TABLE jotting").execute(one)?;
    let gone = told(sql_query("SELECT true AS flag FROM jotting").get_result::<Flag>(two));
    Ok(format!("{there:?} {inserted} {moved:?} {recursive:?} {fragment:?} {jotted:?} {count:?} {gone}"))
}

fn pages(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let bob: i32 = author::table.filter(author::name.eq("Bob")).select(author::id).first(two)?;
    let mut saw = Vec::new();
    for page in [0, 1, 13, 14] {
        let query = post::table.filter(post::author_id.eq(bob)).order(post::id).select(Post::as_select());
        let rows: Vec<(Post, i64)> = query.paginate(page).load(one)?;
        saw.push(format!("{rows:?}"));
        let plain: Vec<String> =
            post::table.order(post::id).select(post::title).limit(4).offset(4 * page).load(two)?;
        saw.push(format!("{plain:?}"));
    }
    Ok(saw.join("\n"))
}

fn dynamic_queries(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let mut saw = Vec::new();
    for (text, likes) in
        [(None, None), (Some("batch 1%"), None), (None, Some(1)), (Some("batch 2%"), Some(1))]
    {
        let mut query = post::table.select(post::title).order(post::id.desc()).limit(5).into_boxed();
        if let Some(text) = text {
            query = query.filter(post::title.like(text));
        }
        if let Some(likes) = likes {
            query = query.filter(post::likes.ge(likes)).or_filter(post::title.eq("final"));
        }
        saw.push(format!("{:?}", query.load::<String>(one)?));
    }
    let busy = author::table
        .filter(exists(post::table.filter(post::author_id.eq(author::id)).filter(post::likes.gt(0))))
        .select(author::name)
        .order(author::name);
    let idle = author::table
        .filter(not(exists(post::table.filter(post::author_id.eq(author::id)))))
        .filter(author::id.ne_all(vec![1, 2]))
        .select(author::name)
        .order(author::name);
    saw.push(format!("{:?} {:?}", busy.load::<String>(two)?, idle.clone().load::<String>(one)?));
    let both: Vec<String> = busy.union(idle).load(two).map(|mut names: Vec<String>| {
        names.sort();
        names
    })?;
    let distinct: Vec<(i32, String)> = post::table
        .distinct_on(post::author_id)
        .select((post::author_id, post::title))
        .order((post::author_id, post::id.desc()))
        .load(one)?;
    let within: Vec<String> = post::table
        .filter(post::author_id.eq_any(author::table.filter(author::mood.eq(Mood::Tired)).select(author::id)))
        .select(post::title)
        .order(post::id)
        .load(two)?;
    let there: bool = diesel::select(exists(post::table.filter(post::title.eq("final")))).get_result(one)?;
    let counts: Vec<(Option<String>, i64)> = post::table
        .filter(post::likes.gt(1))
        .group_by(post::body)
        .select((post::body, count_star()))
        .order(post::body.asc().nulls_first())
        .load(two)?;
    Ok(format!("{saw:?} {both:?} {distinct:?} {within:?} {there} {counts:?}"))
}

fn errors(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let ann: i32 = author::table.filter(author::name.eq("Ann")).select(author::id).first(one)?;
    let mut saw = vec![told(write_author(one, "Ann", Mood::Calm))];
    saw.push(told(write_post(two, -1, "nobody's")));
    saw.push(told(diesel::update(author::table.find(ann)).set(author::visits.eq(-1)).execute(one)));
    saw.push(told(sql_query("SELECT nonsense").execute(two)));
    saw.push(told(sql_query("SELEKT 1").execute(one)));
    saw.push(told(sql_query("SELECT * FROM nowhere").execute(two)));
    saw.push(told(sql_query("SELECT 1 / 0 AS flag").execute(one)));
    saw.push(told(sql_query("INSERT INTO visit VALUES (1)").execute(two)));
    saw.push(told(one.batch_execute("INSERT INTO visit VALUES (-1, 'x'); SELECT 1 / 0")));
    saw.push(told(author::table.filter(author::id.gt(10_000)).select(author::id).first::<i32>(two)));
    saw.push(format!("{:?}", visit::table.count().get_result::<i64>(one)?));
    Ok(saw.join("\n"))
}

/// Code that was written for any connection.
fn newest<C: LoadConnection<Backend = diesel::pg::Pg>>(
    conn: &mut C,
    added: &str,
) -> QueryResult<Option<i32>> {
    conn.transaction(|conn: &mut C| {
        insert_into(author::table).values(author::name.eq(added)).execute(conn)?;
        QueryResult::Ok(())
    })?;
    author::table.select(max(author::id)).first(conn)
}

fn generic(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let (first, second) = (newest(one, "generic")?, newest(two, "generic 2")?);
    Ok(format!("{first:?} {second:?}"))
}

fn at_the_same_time(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let names = ["Ann", "Bob", "Eve", "Una"];
    diesel::update(author::table.filter(author::name.eq_any(names)))
        .set(author::visits.eq(3))
        .execute(two)?;
    let mut visits =
        |name: &str| author::table.filter(author::name.eq(name)).select(author::visits).first::<i32>(one);
    let together = (visits("Ann")?, visits("Bob")?, visits("Eve")?, visits("Una")?);
    let mine = author::table.select(max(author::visits)).first::<Option<i32>>(one)?;
    let theirs = author::table.count().get_result::<i64>(two)?;
    let inside = two.transaction::<_, Error, _>(|conn| {
        let mut add = |name: &'static str| {
            diesel::update(author::table.filter(author::name.eq(name)))
                .set(author::visits.eq(author::visits + 1))
                .execute(conn)
        };
        Ok((add("Ann")?, add("Bob")?))
    })?;
    let after: Vec<i32> = author::table
        .filter(author::name.eq_any(names))
        .select(author::visits)
        .order(author::name)
        .load(one)?;
    Ok(format!("{together:?} {mine:?} {theirs} {inside:?} {after:?}"))
}

/// What one handle wrote the other counts, each time.
fn visits(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let mut counted = Vec::new();
    for id in 0..VISITS {
        insert_into(visit::table).values((visit::id.eq(id), visit::page.eq("home"))).execute(one)?;
        counted.push(visit::table.count().get_result::<i64>(two)?);
    }
    Ok(format!("{counted:?}"))
}

/// What belongs to a connection stays with the handle.
fn session(own: &mut Conn) -> QueryResult<String> {
    sql_query("SET statement_timeout = '77s'").execute(own)?;
    let limit: Word = sql_query("SELECT current_setting('statement_timeout') AS word").get_result(own)?;
    own.batch_execute("CREATE TEMP TABLE basket (what text)")?;
    sql_query("INSERT INTO basket VALUES ('apple')").execute(own)?;
    let basket: Vec<Word> = sql_query("SELECT what AS word FROM basket").load(own)?;
    let locked: Flag = sql_query("SELECT pg_try_advisory_lock(42) AS flag").get_result(own)?;
    let unlocked: Flag = sql_query("SELECT pg_advisory_unlock(42) AS flag").get_result(own)?;
    let id = insert_into(author::table)
        .values(author::name.eq("Sue"))
        .returning(author::id)
        .get_result::<i32>(own)?;
    let last: Flag =
        sql_query("SELECT currval('author_id_seq') = $1 AS flag").bind::<Integer, _>(id).get_result(own)?;
    sql_query("PREPARE named AS SELECT name AS word FROM author ORDER BY id DESC LIMIT 1").execute(own)?;
    let named: Word = sql_query("EXECUTE named").get_result(own)?;
    sql_query("DEALLOCATE named").execute(own)?;
    own.batch_execute("DROP TABLE basket; RESET statement_timeout")?;
    let reset: Word = sql_query("SELECT current_setting('statement_timeout') AS word").get_result(own)?;
    Ok(format!("{limit:?} {basket:?} {locked:?} {unlocked:?} {last:?} {named:?} {reset:?}"))
}
