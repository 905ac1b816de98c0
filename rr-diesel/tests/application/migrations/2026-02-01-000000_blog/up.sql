CREATE TYPE mood AS ENUM ('calm', 'wild', 'tired');
CREATE TABLE author (
    id serial PRIMARY KEY,
    name text NOT NULL UNIQUE,
    mood mood NOT NULL DEFAULT 'calm',
    moods mood[] NOT NULL DEFAULT '{}',
    wanted mood,
    profile jsonb NOT NULL DEFAULT '{}',
    visits int NOT NULL DEFAULT 0 CHECK (visits >= 0)
);
CREATE TABLE post (
    id serial PRIMARY KEY,
    author_id int NOT NULL REFERENCES author,
    title text NOT NULL UNIQUE,
    body text,
    likes int NOT NULL DEFAULT 0
);
CREATE TABLE comment (
    id serial PRIMARY KEY,
    post_id int NOT NULL REFERENCES post ON DELETE CASCADE,
    text text NOT NULL
);
-- Without an index, so that a scan is one query's.
CREATE TABLE visit (id int NOT NULL, page text NOT NULL);
CREATE FUNCTION on_standby() RETURNS bool STABLE LANGUAGE sql AS 'SELECT pg_is_in_recovery()';
