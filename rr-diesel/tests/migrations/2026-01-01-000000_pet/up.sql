CREATE TABLE pet (id serial PRIMARY KEY, name text NOT NULL);
