//! The tables, as SeaORM knows them.

pub mod note;
pub mod note_tag;
pub mod tag;
pub mod trial;
pub mod user;
