//! A session as a short text that another process can go on from.
//!
//! A token says what a session wrote and saw, of which cluster, and until when that is to be believed. It is signed, so that
//! nobody but holders of a key can make a process ask for positions, and not encrypted: it holds numbers of a log and
//! nothing about a user. It is no proof of who somebody is.
//!
//! ```text
//! version 1 │ key 2 │ flags 1 │ cluster 8 │ issued at 5 │ lifetime 1–5 │ wrote 1+ │ saw 1+ │ HMAC-SHA256, first 16 bytes
//! ```
//!
//! in base64url, never longer than [`LONGEST`]. A position is a list of (timeline, LSN) as variable-length numbers. What
//! does not fit is not cut off, because a token that asks for less than the session needs would be a stale read: such a
//! token sends its reads to the primary instead.
//!
//! Time is an argument here. [`Wall`] is the one use that this crate has for a wall clock: a token is all that outlives the
//! process whose clock it was.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::position::Position;
use crate::time::Wall;

mod codec;
mod error;
mod keys;

pub use error::{LostWrite, TokenError};
pub use keys::KeyRing;

/// Characters that a token has at most.
pub const LONGEST: usize = 120;

/// A session as text: URL-safe, signed, at most [`LONGEST`] characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(Box<str>);

impl Token {
    /// A text that somebody says is a token. It is checked when a session is resumed from it.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Token {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claims {
    /// The cluster (PostgreSQL's system identifier).
    pub cluster: u64,
    /// When it was issued.
    pub issued_at: Wall,
    /// How long it is to be believed; whole seconds.
    pub lifetime: Duration,
    /// What the session wrote.
    pub wrote: Option<Position>,
    /// What it saw.
    pub saw: Option<Position>,
    /// It also wrote something that ended at a position nobody knew, before the token was issued.
    pub unplaced: bool,
    /// The last of these was answered: should it be lost, that is told.
    pub answered: bool,
    /// It also saw something of which no position was known then.
    pub unplaced_read: bool,
    /// Only the primary will do: its positions did not fit.
    pub primary: bool,
}

impl Claims {
    /// Nothing written or seen, issued at this time.
    #[must_use]
    pub const fn new(cluster: u64, issued_at: Wall, lifetime: Duration) -> Self {
        Self {
            cluster,
            issued_at,
            lifetime,
            wrote: None,
            saw: None,
            unplaced: false,
            answered: false,
            unplaced_read: false,
            primary: false,
        }
    }

    /// Whether there is nothing that a reader would have to see.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.wrote.is_none() && self.saw.is_none() && !(self.unplaced || self.unplaced_read || self.primary)
    }
}
