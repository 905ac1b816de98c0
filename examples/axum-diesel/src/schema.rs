//! The tables, as Diesel knows them.

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        balance -> Integer,
    }
}

diesel::table! {
    notes (id) {
        id -> Integer,
        author_id -> Integer,
        title -> Text,
        body -> Text,
        revision -> Integer,
        views -> Integer,
    }
}

diesel::table! {
    tags (id) {
        id -> Integer,
        name -> Text,
    }
}

diesel::table! {
    note_tags (note_id, tag_id) {
        note_id -> Integer,
        tag_id -> Integer,
    }
}

diesel::table! {
    trials (id) {
        id -> Integer,
    }
}

diesel::joinable!(notes -> users (author_id));
diesel::joinable!(note_tags -> notes (note_id));
diesel::joinable!(note_tags -> tags (tag_id));
diesel::allow_tables_to_appear_in_same_query!(users, notes, tags, note_tags);
