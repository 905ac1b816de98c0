CREATE TABLE users (
    id serial PRIMARY KEY,
    name text NOT NULL UNIQUE,
    -- Points: one for each note.
    balance integer NOT NULL DEFAULT 0
);

CREATE TABLE notes (
    id serial PRIMARY KEY,
    author_id integer NOT NULL REFERENCES users,
    title text NOT NULL,
    body text NOT NULL,
    revision integer NOT NULL DEFAULT 1,
    views integer NOT NULL DEFAULT 0
);

CREATE INDEX ON notes (author_id);

CREATE TABLE tags (
    id serial PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE note_tags (
    note_id integer NOT NULL REFERENCES notes,
    tag_id integer NOT NULL REFERENCES tags,
    PRIMARY KEY (note_id, tag_id)
);

-- What the laboratory writes and looks for.
CREATE TABLE trials (
    id serial PRIMARY KEY
);
