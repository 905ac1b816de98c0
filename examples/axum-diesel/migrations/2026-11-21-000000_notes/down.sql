DROP TABLE trials, note_tags, tags, notes, users;
