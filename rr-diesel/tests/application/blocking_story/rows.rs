// Chapters about rows: what is written, and how it is found again.

fn crud(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let mut saw = Vec::new();
    let ann = write_author(one, "Ann", Mood::Calm)?;
    let found: Author = author::table.find(ann.id).select(Author::as_select()).first(two)?;
    saw.push(format!("{}", ann == found));
    for round in 0..5 {
        let changed = diesel::update(author::table.find(ann.id))
            .set(author::visits.eq(author::visits + 1))
            .execute(two)?;
        let visits: i32 = author::table.find(ann.id).select(author::visits).first(one)?;
        saw.push(format!("{round}: {changed} {visits}"));
    }
    let post = write_post(two, ann.id, "crud")?;
    let body: Option<String> = post::table.find(post.id).select(post::body).get_result(one)?;
    saw.push(format!("{post:?} {body:?}"));
    let gone: Post =
        diesel::delete(post::table.find(post.id)).returning(Post::as_returning()).get_result(one)?;
    let after: Option<Post> = post::table.find(gone.id).select(Post::as_select()).first(two).optional()?;
    saw.push(format!("{gone:?} {after:?}"));
    saw.push(format!("{:?}", author::table.count().get_result::<i64>(two)?));
    saw.push(told(author::table.find(-1).select(author::name).first::<String>(two)));
    Ok(saw.join("\n"))
}

fn batches(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let bob = write_author(one, "Bob", Mood::Wild)?.id;
    let posts: Vec<_> = (0..40)
        .map(|n| NewPost {
            author_id: bob,
            title: format!("batch {n}"),
            body: (n % 3 == 0).then(|| format!("text {n}")),
        })
        .collect();
    let ids: Vec<i32> = insert_into(post::table).values(&posts).returning(post::id).get_results(one)?;
    let theirs = post::table.filter(post::author_id.eq(bob));
    let read: Vec<(i32, String, Option<String>)> =
        theirs.select((post::id, post::title, post::body)).order(post::id).load(two)?;
    let touched = diesel::update(theirs.filter(post::body.is_null())).set(post::likes.eq(1)).execute(two)?;
    let likes: Option<i64> = theirs.select(sum(post::likes)).first(one)?;
    let copied = insert_into(comment::table)
        .values(theirs.filter(post::likes.eq(0)).select((post::id, post::title)))
        .into_columns((comment::post_id, comment::text))
        .execute(two)?;
    let comments: Vec<Comment> = comment::table.select(Comment::as_select()).order(comment::id).load(one)?;
    let removed = diesel::delete(comment::table.filter(comment::id.gt(3))).execute(one)?;
    let left: Vec<i32> = comment::table.select(comment::id).order(comment::id).load(two)?;
    let none = insert_into(post::table).values(&Vec::<NewPost>::new()).execute(one)?;
    Ok(format!("{ids:?} {read:?} {touched} {likes:?} {copied} {comments:?} {removed} {left:?} {none}"))
}

fn joins(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let eve = write_author(two, "Eve", Mood::Tired)?.id;
    let first = write_post(one, eve, "joined")?.id;
    write_post(two, eve, "lonely")?;
    insert_into(comment::table)
        .values(&[
            (comment::post_id.eq(first), comment::text.eq("a")),
            (comment::post_id.eq(first), comment::text.eq("b")),
        ])
        .execute(one)?;
    let inner: Vec<(String, String, String)> = comment::table
        .inner_join(post::table.inner_join(author::table))
        .filter(author::id.eq(eve))
        .select((author::name, post::title, comment::text))
        .order(comment::id)
        .load(two)?;
    let left: Vec<(Post, Option<Comment>)> = post::table
        .left_join(comment::table)
        .filter(post::author_id.eq(eve))
        .select((Post::as_select(), Option::<Comment>::as_select()))
        .order((post::id, comment::id))
        .load(one)?;
    let counted: Vec<(String, i64, Option<i32>)> = author::table
        .left_join(post::table)
        .group_by(author::id)
        .having(count(post::id.nullable()).gt(0))
        .select((author::name, count(post::id.nullable()), max(post::likes.nullable())))
        .order(author::id)
        .load(two)?;
    let (mine, theirs) = diesel::alias!(post as mine, post as theirs);
    let pairs: Vec<(String, String)> = mine
        .inner_join(theirs.on(mine.field(post::author_id).eq(theirs.field(post::author_id))))
        .filter(mine.field(post::author_id).eq(eve))
        .filter(mine.field(post::id).lt(theirs.field(post::id)))
        .select((mine.field(post::title), theirs.field(post::title)))
        .load(one)?;
    Ok(format!("{inner:?} {left:?} {counted:?} {pairs:?}"))
}

fn associations(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let eve: Author = author::table.filter(author::name.eq("Eve")).select(Author::as_select()).first(one)?;
    let posts: Vec<Post> = Post::belonging_to(&eve).select(Post::as_select()).order(post::id).load(two)?;
    let comments: Vec<Comment> =
        Comment::belonging_to(&posts).select(Comment::as_select()).order(comment::id).load(one)?;
    let grouped: Vec<(Post, Vec<Comment>)> =
        comments.grouped_by(&posts).into_iter().zip(posts).map(|(comments, post)| (post, comments)).collect();
    let added: Comment = insert_into(comment::table)
        .values((comment::post_id.eq(grouped[1].0.id), comment::text.eq("not lonely")))
        .returning(Comment::as_returning())
        .get_result(one)?;
    let there: Vec<String> = Comment::belonging_to(&grouped[1].0).select(comment::text).load(two)?;
    Ok(format!("{grouped:?} {added:?} {there:?}"))
}

fn upserts(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let id = write_author(one, "Una", Mood::Calm)?.id;
    let mut saw = Vec::new();
    for round in 1..=4 {
        let upserted: Post = insert_into(post::table)
            .values((post::author_id.eq(id), post::title.eq("upserted"), post::likes.eq(round)))
            .on_conflict(post::title)
            .do_update()
            .set(post::likes.eq(post::likes * 10 + excluded(post::likes)))
            .returning(Post::as_returning())
            .get_result(one)?;
        let likes: i32 = post::table.find(upserted.id).select(post::likes).first(two)?;
        saw.push(format!("{upserted:?} {likes}"));
    }
    let ignored = insert_into(author::table)
        .values((author::name.eq("Una"), author::profile.eq(json!(1))))
        .on_conflict_do_nothing()
        .execute(two)?;
    let constrained = insert_into(author::table)
        .values((author::name.eq("Una"), author::visits.eq(7)))
        .on_conflict(on_constraint("author_name_key"))
        .do_update()
        .set((author::visits.eq(excluded(author::visits)), author::mood.eq(Mood::Wild)))
        .execute(two)?;
    let una: Author = author::table.find(id).select(Author::as_select()).first(one)?;
    Ok(format!("{saw:?} {ignored} {constrained} {una:?}"))
}

fn saved_changes(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let una: Author = author::table.filter(author::name.eq("Una")).select(Author::as_select()).first(two)?;
    let written = write_post(one, una.id, "draft")?;
    let edit = Edit { id: written.id, title: None, body: Some(Some("text".to_owned())) };
    let first: Post = (&edit).save_changes(two)?;
    let edit = Edit { id: written.id, title: Some("final".to_owned()), body: None };
    let second: Post = (&edit).save_changes(two)?;
    let edit = Edit { id: written.id, title: None, body: Some(None) };
    let third: Post = (&edit).save_changes(one)?;
    let read: Post = post::table.find(written.id).select(Post::as_select()).first(two)?;
    let changed = Author { visits: 70, wanted: Some(Mood::Tired), ..una };
    let saved: Author =
        diesel::update(&changed).set(&changed).returning(Author::as_returning()).get_result(one)?;
    let again: Author = author::table.find(saved.id).select(Author::as_select()).first(two)?;
    Ok(format!("{first:?} {second:?} {third:?} {read:?} {saved:?} {}", again == saved))
}

fn enums(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let mut saw = Vec::new();
    for (number, mood) in [Mood::Calm, Mood::Wild, Mood::Tired].into_iter().enumerate() {
        let written = write_author(one, &format!("enum {number}"), mood)?;
        let moods = vec![Some(mood), None, Some(Mood::Calm)];
        let changed: (Vec<Option<Mood>>, Option<Mood>) = diesel::update(author::table.find(written.id))
            .set((author::moods.eq(&moods), author::wanted.eq(Some(mood))))
            .returning((author::moods, author::wanted))
            .get_result(two)?;
        let read: (Mood, Vec<Option<Mood>>, Option<Mood>) = author::table
            .find(written.id)
            .select((author::mood, author::moods, author::wanted))
            .first(one)?;
        saw.push(format!("{changed:?} {read:?}"));
    }
    let named = || author::table.filter(author::name.like("enum%")).select(author::name);
    let calm: Vec<String> = named().filter(author::mood.eq(Mood::Calm)).load(two)?;
    let any: Vec<String> = named()
        .filter(author::mood.eq_any([Mood::Wild, Mood::Tired]))
        .order(author::mood.desc())
        .load(one)?;
    let holds: Vec<String> =
        named().filter(author::moods.contains(vec![Some(Mood::Wild)])).order(author::id).load(two)?;
    let overlaps: i64 = named()
        .filter(author::moods.overlaps_with(vec![Some(Mood::Wild), Some(Mood::Tired)]))
        .count()
        .get_result(one)?;
    let wanted: Vec<Option<Mood>> = author::table
        .filter(author::wanted.is_not_null())
        .select(author::wanted)
        .order(author::id)
        .load(two)?;
    let bound: Vec<Word> =
        sql_query("SELECT name AS word FROM author WHERE mood = $1 AND name LIKE 'enum%' ORDER BY id")
            .bind::<MoodType, _>(Mood::Tired)
            .load(one)?;
    let listed: Vec<Word> = sql_query("SELECT unnest($1)::text AS word")
        .bind::<Array<MoodType>, _>(vec![Mood::Wild, Mood::Calm])
        .load(two)?;
    let most: Option<Mood> = author::table.select(max(author::mood)).first(one)?;
    Ok(format!("{saw:?} {calm:?} {any:?} {holds:?} {overlaps} {wanted:?} {bound:?} {listed:?} {most:?}"))
}

fn json_values(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let id = write_author(two, "Jay", Mood::Calm)?.id;
    let profile = json!({ "langs": ["en", "it's"], "age": 7, "deep": { "x": null }, "float": 1.5 });
    diesel::update(author::table.find(id)).set(author::profile.eq(&profile)).execute(one)?;
    let read: serde_json::Value = author::table.find(id).select(author::profile).first(two)?;
    let holds: Vec<String> = author::table
        .filter(author::profile.contains(json!({ "langs": ["en"] })))
        .select(author::name)
        .load(two)?;
    let keyed: Vec<i32> =
        author::table.filter(author::profile.has_key("age")).select(author::visits).load(one)?;
    let deep: Vec<Option<String>> = author::table
        .filter(author::id.eq(id))
        .select(author::profile.retrieve_as_text("age").nullable())
        .load(two)?;
    let inner: serde_json::Value = author::table
        .find(id)
        .select(author::profile.retrieve_by_path_as_object(vec!["deep", "x"]))
        .first(one)?;
    Ok(format!("{} {read} {holds:?} {keyed:?} {deep:?} {inner}", read == profile))
}
