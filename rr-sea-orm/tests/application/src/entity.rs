//! The tables: in SeaORM's dense format, and in the older compact one.

pub mod album;
pub mod album_genre;
pub mod artist;
pub mod biography;
pub mod genre;
pub mod item;
pub mod label;
pub mod track;

/// Where the registry of entities finds them.
pub const REGISTRY: &str = concat!(module_path!(), "::*");
