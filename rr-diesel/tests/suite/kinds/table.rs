//! Every kind of statement as text, and who is to serve it.

/// Who serves a statement outside of any transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A replica.
    Replica,
    /// The primary, and then the handle reads from replicas as before.
    Primary,
    /// The primary, on a connection that the handle stays on.
    Kept,
    /// A replica, which refuses it, and then the primary.
    Both,
}

/// What is there before the statements run.
pub(crate) const SETUP: &str = "
    INSERT INTO note (text) VALUES ('first'), ('second');
    CREATE TABLE stock (id int PRIMARY KEY, n int);
    CREATE MATERIALIZED VIEW notes AS SELECT count(*) FROM note;
    CREATE TABLE __diesel_schema_migrations (version varchar(50) PRIMARY KEY, run_on timestamp DEFAULT now());
    CREATE FUNCTION touch() RETURNS bool LANGUAGE sql VOLATILE AS 'UPDATE note SET stars = stars + 1; SELECT true';
    CREATE PROCEDURE tidy() LANGUAGE sql AS 'DELETE FROM stock'";

#[rustfmt::skip]
pub(crate) const TABLE: &[(&str, By, &str)] = &[
    ("select", By::Replica, "SELECT id, text FROM note WHERE id = 1"),
    ("select of nothing", By::Replica, "SELECT 1 AS one"),
    ("in brackets", By::Replica, "(SELECT id FROM note)"),
    ("joins", By::Replica, "SELECT a.id FROM note a JOIN note b USING (id) LEFT JOIN note c ON c.id = b.id"),
    ("lateral join", By::Replica, "SELECT * FROM note n, LATERAL (SELECT n.stars + 1 AS more) AS l"),
    ("count", By::Replica, "SELECT count(*) FROM note"),
    ("exists", By::Replica, "SELECT EXISTS (SELECT FROM note)"),
    ("groups", By::Replica, "SELECT stars, count(*) FROM note GROUP BY stars HAVING count(*) > 0"),
    ("window", By::Replica, "SELECT rank() OVER (ORDER BY id) FROM note"),
    ("union", By::Replica, "SELECT id FROM note UNION ALL SELECT 7"),
    ("CTE", By::Replica, "WITH few AS (SELECT id FROM note) SELECT * FROM few"),
    ("recursive CTE", By::Replica, "WITH RECURSIVE up (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM up WHERE n < 4) TABLE up"),
    ("values", By::Replica, "VALUES (1), (2)"),
    ("table", By::Replica, "TABLE note"),
    ("show", By::Replica, "SHOW work_mem"),
    ("explain", By::Replica, "EXPLAIN SELECT * FROM note"),
    ("explain analyze", By::Replica, "EXPLAIN (ANALYZE, TIMING off) SELECT * FROM note"),
    ("stable function", By::Replica, "SELECT on_standby()"),
    ("names of writes", By::Replica, "SELECT 'DELETE FROM note' AS update, 1 AS \"for update\" /* INSERT */"),
    ("replica by comment", By::Replica, "/* rr:replica */ SELECT id FROM note"),

    ("primary by comment", By::Primary, "/* rr:primary */ SELECT id FROM note"),
    ("for update", By::Primary, "SELECT id FROM note FOR UPDATE"),
    ("for no key update", By::Primary, "SELECT id FROM note FOR NO KEY UPDATE NOWAIT"),
    ("for share", By::Primary, "SELECT id FROM note FOR SHARE SKIP LOCKED"),
    ("for key share", By::Primary, "SELECT id FROM note FOR KEY SHARE OF note"),
    ("for update within", By::Primary, "SELECT * FROM (SELECT id FROM note FOR UPDATE) AS locked"),
    ("insert", By::Primary, "INSERT INTO note (text) VALUES ('x')"),
    ("insert returning", By::Primary, "INSERT INTO note (text) VALUES ('x') RETURNING id"),
    ("insert of a query", By::Primary, "INSERT INTO stock SELECT 1, 1 WHERE false"),
    ("insert or nothing", By::Primary, "INSERT INTO stock VALUES (1, 1) ON CONFLICT DO NOTHING"),
    ("upsert", By::Primary, "INSERT INTO stock VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = stock.n + 1 RETURNING n"),
    ("update", By::Primary, "UPDATE note SET stars = 1 WHERE id = 1"),
    ("update returning", By::Primary, "UPDATE note SET stars = n FROM stock WHERE note.id = stock.id RETURNING note.id"),
    ("delete", By::Primary, "DELETE FROM note WHERE text = 'x'"),
    ("delete returning", By::Primary, "DELETE FROM note USING stock WHERE note.text = 'x' RETURNING note.id"),
    ("merge", By::Primary, "MERGE INTO stock USING note ON stock.id = note.id WHEN MATCHED THEN UPDATE SET n = 2"),
    ("inserting CTE", By::Primary, "WITH x AS (INSERT INTO note (text) VALUES ('x') RETURNING id) SELECT * FROM x"),
    ("updating CTE", By::Primary, "WITH a AS (SELECT 1), b AS (UPDATE note SET stars = 2 RETURNING id) SELECT count(*) FROM b"),
    ("deleting CTE", By::Primary, "WITH x AS MATERIALIZED (DELETE FROM note WHERE text = 'x' RETURNING 1) SELECT 1 FROM x"),
    ("CTE of an insert", By::Primary, "WITH x AS (SELECT 'x' AS text) INSERT INTO note (text) SELECT text FROM x"),
    ("nextval", By::Primary, "SELECT nextval('note_id_seq')"),
    ("setval", By::Primary, "SELECT setval('note_id_seq', 1000)"),
    ("value of a sequence", By::Primary, "SELECT last_value FROM note_id_seq"),
    ("lock of a transaction", By::Primary, "SELECT pg_advisory_xact_lock(1)"),
    ("number of the transaction", By::Primary, "SELECT txid_current()"),
    ("which server", By::Primary, "SELECT pg_is_in_recovery()"),
    ("migrations", By::Primary, "SELECT version FROM __diesel_schema_migrations ORDER BY version"),
    ("explain of a write", By::Primary, "EXPLAIN DELETE FROM note"),
    ("explain analyze of a write", By::Primary, "EXPLAIN ANALYZE DELETE FROM note WHERE text = 'x'"),
    ("select into", By::Primary, "SELECT 1 AS one INTO TABLE made"),
    ("drop", By::Primary, "DROP TABLE made"),
    ("create as", By::Primary, "CREATE TABLE IF NOT EXISTS kept AS SELECT 1 AS one"),
    ("alter", By::Primary, "ALTER TABLE kept ALTER COLUMN one SET DEFAULT 1"),
    ("index", By::Primary, "CREATE INDEX IF NOT EXISTS kept_one ON kept (one)"),
    ("truncate", By::Primary, "TRUNCATE kept"),
    ("comment", By::Primary, "COMMENT ON TABLE kept IS 'a comment'"),
    ("grant", By::Primary, "GRANT SELECT ON kept TO app"),
    ("refresh", By::Primary, "REFRESH MATERIALIZED VIEW notes"),
    ("analyze", By::Primary, "ANALYZE note"),
    ("call", By::Primary, "CALL tidy()"),
    ("do", By::Primary, "DO 'BEGIN PERFORM 1; END'"),
    ("notify", By::Primary, "NOTIFY news, 'hello'"),
    ("notifying function", By::Primary, "SELECT pg_notify('news', 'hello')"),

    ("set", By::Kept, "SET application_name = 'kept'"),
    ("reset", By::Kept, "RESET application_name"),
    ("setting function", By::Kept, "SELECT set_config('application_name', 'kept', false)"),
    ("role", By::Kept, "SET ROLE app"),
    ("listen", By::Kept, "LISTEN news"),
    ("unlisten", By::Kept, "UNLISTEN *"),
    ("temporary table", By::Kept, "CREATE TEMP TABLE mine (n int)"),
    ("select into a temporary table", By::Kept, "SELECT 1 AS one INTO TEMP mine"),
    ("temporary view", By::Kept, "CREATE TEMP VIEW mine AS SELECT 1 AS one"),
    ("lock of a session", By::Kept, "SELECT pg_advisory_lock(2)"),
    ("tried lock of a session", By::Kept, "SELECT pg_try_advisory_lock_shared(3)"),
    ("prepare", By::Kept, "PREPARE mine AS SELECT 1"),
    ("cursor", By::Kept, "DECLARE mine CURSOR WITH HOLD FOR SELECT 1"),
    ("process", By::Kept, "SELECT pg_backend_pid()"),
    ("seed", By::Kept, "SELECT setseed(0.5)"),
    ("session by comment", By::Kept, "/* rr:session */ SELECT 1"),

    ("function that writes", By::Both, "SELECT touch()"),
];
