CREATE TYPE mood AS ENUM ('calm', 'wild');
CREATE TABLE post (id serial PRIMARY KEY, title text NOT NULL UNIQUE, mood mood NOT NULL DEFAULT 'calm', likes int NOT NULL DEFAULT 0);
CREATE TABLE comment (id serial PRIMARY KEY, post_id int NOT NULL REFERENCES post, text text NOT NULL);
