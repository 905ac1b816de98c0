// Chapters about rows: what is written, and how it is found again.

async fn crud(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let mut saw = Vec::new();
    let ann = write_author(one, "Ann", Mood::Calm).await?;
    let found: Author = author::table.find(ann.id).select(Author::as_select()).first(two).await?;
    saw.push(format!("{}", ann == found));
    for round in 0..5 {
        let changed = diesel::update(author::table.find(ann.id))
            .set(author::visits.eq(author::visits + 1))
            .execute(two)
            .await?;
        let visits: i32 = author::table.find(ann.id).select(author::visits).first(one).await?;
        saw.push(format!("{round}: {changed} {visits}"));
    }
    let post = write_post(two, ann.id, "crud").await?;
    let body: Option<String> = post::table.find(post.id).select(post::body).get_result(one).await?;
    saw.push(format!("{post:?} {body:?}"));
    let gone: Post =
        diesel::delete(post::table.find(post.id)).returning(Post::as_returning()).get_result(one).await?;
    let after: Option<Post> =
        post::table.find(gone.id).select(Post::as_select()).first(two).await.optional()?;
    saw.push(format!("{gone:?} {after:?}"));
    saw.push(format!("{:?}", author::table.count().get_result::<i64>(two).await?));
    saw.push(told(author::table.find(-1).select(author::name).first::<String>(two).await));
    Ok(saw.join("\n"))
}

async fn batches(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let bob = write_author(one, "Bob", Mood::Wild).await?.id;
    let posts: Vec<_> = (0..40)
        .map(|n| NewPost {
            author_id: bob,
            title: format!("batch {n}"),
            body: (n % 3 == 0).then(|| format!("text {n}")),
        })
        .collect();
    let ids: Vec<i32> = insert_into(post::table).values(&posts).returning(post::id).get_results(one).await?;
    let theirs = post::table.filter(post::author_id.eq(bob));
    let read: Vec<(i32, String, Option<String>)> =
        theirs.select((post::id, post::title, post::body)).order(post::id).load(two).await?;
    let touched =
        diesel::update(theirs.filter(post::body.is_null())).set(post::likes.eq(1)).execute(two).await?;
    let likes: Option<i64> = theirs.select(sum(post::likes)).first(one).await?;
    let copied = insert_into(comment::table)
        .values(theirs.filter(post::likes.eq(0)).select((post::id, post::title)))
        .into_columns((comment::post_id, comment::text))
        .execute(two)
        .await?;
    let comments: Vec<Comment> =
        comment::table.select(Comment::as_select()).order(comment::id).load(one).await?;
    let removed = diesel::delete(comment::table.filter(comment::id.gt(3))).execute(one).await?;
    let left: Vec<i32> = comment::table.select(comment::id).order(comment::id).load(two).await?;
    let none = insert_into(post::table).values(&Vec::<NewPost>::new()).execute(one).await?;
    Ok(format!("{ids:?} {read:?} {touched} {likes:?} {copied} {comments:?} {removed} {left:?} {none}"))
}

async fn joins(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let eve = write_author(two, "Eve", Mood::Tired).await?.id;
    let first = write_post(one, eve, "joined").await?.id;
    write_post(two, eve, "lonely").await?;
    insert_into(comment::table)
        .values(&[
            (comment::post_id.eq(first), comment::text.eq("a")),
            (comment::post_id.eq(first), comment::text.eq("b")),
        ])
        .execute(one)
        .await?;
    let inner: Vec<(String, String, String)> = comment::table
        .inner_join(post::table.inner_join(author::table))
        .filter(author::id.eq(eve))
        .select((author::name, post::title, comment::text))
        .order(comment::id)
        .load(two)
        .await?;
    let left: Vec<(Post, Option<Comment>)> = post::table
        .left_join(comment::table)
        .filter(post::author_id.eq(eve))
        .select((Post::as_select(), Option::<Comment>::as_select()))
        .order((post::id, comment::id))
        .load(one)
        .await?;
    let counted: Vec<(String, i64, Option<i32>)> = author::table
        .left_join(post::table)
        .group_by(author::id)
        .having(count(post::id.nullable()).gt(0))
        .select((author::name, count(post::id.nullable()), max(post::likes.nullable())))
        .order(author::id)
        .load(two)
        .await?;
    let (mine, theirs) = diesel::alias!(post as mine, post as theirs);
    let pairs: Vec<(String, String)> = mine
        .inner_join(theirs.on(mine.field(post::author_id).eq(theirs.field(post::author_id))))
        .filter(mine.field(post::author_id).eq(eve))
        .filter(mine.field(post::id).lt(theirs.field(post::id)))
        .select((mine.field(post::title), theirs.field(post::title)))
        .load(one)
        .await?;
    Ok(format!("{inner:?} {left:?} {counted:?} {pairs:?}"))
}

async fn associations(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let eve: Author =
        author::table.filter(author::name.eq("Eve")).select(Author::as_select()).first(one).await?;
    let posts: Vec<Post> =
        Post::belonging_to(&eve).select(Post::as_select()).order(post::id).load(two).await?;
    let comments: Vec<Comment> =
        Comment::belonging_to(&posts).select(Comment::as_select()).order(comment::id).load(one).await?;
    let grouped: Vec<(Post, Vec<Comment>)> =
        comments.grouped_by(&posts).into_iter().zip(posts).map(|(comments, post)| (post, comments)).collect();
    let added: Comment = insert_into(comment::table)
        .values((comment::post_id.eq(grouped[1].0.id), comment::text.eq("not lonely")))
        .returning(Comment::as_returning())
        .get_result(one)
        .await?;
    let there: Vec<String> = Comment::belonging_to(&grouped[1].0).select(comment::text).load(two).await?;
    Ok(format!("{grouped:?} {added:?} {there:?}"))
}

async fn upserts(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let id = write_author(one, "Una", Mood::Calm).await?.id;
    let mut saw = Vec::new();
    for round in 1..=4 {
        let upserted: Post = insert_into(post::table)
            .values((post::author_id.eq(id), post::title.eq("upserted"), post::likes.eq(round)))
            .on_conflict(post::title)
            .do_update()
            .set(post::likes.eq(post::likes * 10 + excluded(post::likes)))
            .returning(Post::as_returning())
            .get_result(one)
            .await?;
        let likes: i32 = post::table.find(upserted.id).select(post::likes).first(two).await?;
        saw.push(format!("{upserted:?} {likes}"));
    }
    let ignored = insert_into(author::table)
        .values((author::name.eq("Una"), author::profile.eq(json!(1))))
        .on_conflict_do_nothing()
        .execute(two)
        .await?;
    let constrained = insert_into(author::table)
        .values((author::name.eq("Una"), author::visits.eq(7)))
        .on_conflict(on_constraint("author_name_key"))
        .do_update()
        .set((author::visits.eq(excluded(author::visits)), author::mood.eq(Mood::Wild)))
        .execute(two)
        .await?;
    let una: Author = author::table.find(id).select(Author::as_select()).first(one).await?;
    Ok(format!("{saw:?} {ignored} {constrained} {una:?}"))
}

async fn saved_changes(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let una: Author =
        author::table.filter(author::name.eq("Una")).select(Author::as_select()).first(two).await?;
    let written = write_post(one, una.id, "draft").await?;
    let edit = Edit { id: written.id, title: None, body: Some(Some("text".to_owned())) };
    let first: Post = (&edit).save_changes(two).await?;
    let edit = Edit { id: written.id, title: Some("final".to_owned()), body: None };
    let second: Post = (&edit).save_changes(two).await?;
    let edit = Edit { id: written.id, title: None, body: Some(None) };
    let third: Post = (&edit).save_changes(one).await?;
    let read: Post = post::table.find(written.id).select(Post::as_select()).first(two).await?;
    let changed = Author { visits: 70, wanted: Some(Mood::Tired), ..una };
    let saved: Author =
        diesel::update(&changed).set(&changed).returning(Author::as_returning()).get_result(one).await?;
    let again: Author = author::table.find(saved.id).select(Author::as_select()).first(two).await?;
    Ok(format!("{first:?} {second:?} {third:?} {read:?} {saved:?} {}", again == saved))
}

async fn enums(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let mut saw = Vec::new();
    for (number, mood) in [Mood::Calm, Mood::Wild, Mood::Tired].into_iter().enumerate() {
        let written = write_author(one, &format!("enum {number}"), mood).await?;
        let moods = vec![Some(mood), None, Some(Mood::Calm)];
        let changed: (Vec<Option<Mood>>, Option<Mood>) = diesel::update(author::table.find(written.id))
            .set((author::moods.eq(&moods), author::wanted.eq(Some(mood))))
            .returning((author::moods, author::wanted))
            .get_result(two)
            .await?;
        let read: (Mood, Vec<Option<Mood>>, Option<Mood>) = author::table
            .find(written.id)
            .select((author::mood, author::moods, author::wanted))
            .first(one)
            .await?;
        saw.push(format!("{changed:?} {read:?}"));
    }
    let named = || author::table.filter(author::name.like("enum%")).select(author::name);
    let calm: Vec<String> = named().filter(author::mood.eq(Mood::Calm)).load(two).await?;
    let any: Vec<String> = named()
        .filter(author::mood.eq_any([Mood::Wild, Mood::Tired]))
        .order(author::mood.desc())
        .load(one)
        .await?;
    let holds: Vec<String> =
        named().filter(author::moods.contains(vec![Some(Mood::Wild)])).order(author::id).load(two).await?;
    let overlaps: i64 = named()
        .filter(author::moods.overlaps_with(vec![Some(Mood::Wild), Some(Mood::Tired)]))
        .count()
        .get_result(one)
        .await?;
    let wanted: Vec<Option<Mood>> = author::table
        .filter(author::wanted.is_not_null())
        .select(author::wanted)
        .order(author::id)
        .load(two)
        .await?;
    let bound: Vec<Word> =
        sql_query("SELECT name AS word FROM author WHERE mood = $1 AND name LIKE 'enum%' ORDER BY id")
            .bind::<MoodType, _>(Mood::Tired)
            .load(one)
            .await?;
    let listed: Vec<Word> = sql_query("SELECT unnest($1)::text AS word")
        .bind::<Array<MoodType>, _>(vec![Mood::Wild, Mood::Calm])
        .load(two)
        .await?;
    let most: Option<Mood> = author::table.select(max(author::mood)).first(one).await?;
    Ok(format!("{saw:?} {calm:?} {any:?} {holds:?} {overlaps} {wanted:?} {bound:?} {listed:?} {most:?}"))
}

async fn json_values(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let id = write_author(two, "Jay", Mood::Calm).await?.id;
    let profile = json!({ "langs": ["en", "it's"], "age": 7, "deep": { "x": null }, "float": 1.5 });
    diesel::update(author::table.find(id)).set(author::profile.eq(&profile)).execute(one).await?;
    let read: serde_json::Value = author::table.find(id).select(author::profile).first(two).await?;
    let holds: Vec<String> = author::table
        .filter(author::profile.contains(json!({ "langs": ["en"] })))
        .select(author::name)
        .load(two)
        .await?;
    let keyed: Vec<i32> =
        author::table.filter(author::profile.has_key("age")).select(author::visits).load(one).await?;
    let deep: Vec<Option<String>> = author::table
        .filter(author::id.eq(id))
        .select(author::profile.retrieve_as_text("age").nullable())
        .load(two)
        .await?;
    let inner: serde_json::Value = author::table
        .find(id)
        .select(author::profile.retrieve_by_path_as_object(vec!["deep", "x"]))
        .first(one)
        .await?;
    Ok(format!("{} {read} {holds:?} {keyed:?} {deep:?} {inner}", read == profile))
}
