//! The tables, as SeaORM knows them.
#![expect(unreachable_pub, reason = "entities have public parts, written or generated")]

pub mod note;
pub mod note_tag;
pub mod tag;
pub mod trial;
pub mod user;
