//! Block comments: where they end, the hints in them, and those that MySQL runs.
//!
//! Every function gets the text behind `/*`.

use super::Hint;
use super::bytes::find;
use crate::consistency::Consistency;

/// What a comment asks for.
pub(super) enum Wish {
    /// A place.
    Hint(Hint),
    /// A level for this statement alone.
    Level(Consistency),
}

/// Longer levels are misspelt ones.
const LONGEST_LEVEL: usize = 64;

/// The length of a comment that ends at the first `*/`.
pub(super) fn flat(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at = find(rest, at, b'*') + 1;
        if *rest.get(at)? == b'/' {
            return Some(at - 1);
        }
    }
}

/// The length of a comment in which every further `/*` asks for its own `*/`.
pub(super) fn nested(rest: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        match (rest.get(at)?, rest.get(at + 1)?) {
            (b'*', b'/') if depth == 0 => return Some(at),
            (b'*', b'/') => depth -= 1,
            (b'/', b'*') => depth += 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
}

/// The hint in a comment, given without its delimiters.
///
/// An `rr:` comment that says nothing known is somebody's misspelt wish; the primary fulfils any of them.
pub(super) fn wish(comment: &[u8]) -> Option<Wish> {
    let (prefix, wish) = comment.trim_ascii().split_first_chunk::<3>()?;
    if !prefix.eq_ignore_ascii_case(b"rr:") {
        return None;
    }
    let wish = wish.trim_ascii_start();
    Some(match wish {
        _ if wish.eq_ignore_ascii_case(b"replica") => Wish::Hint(Hint::Replica),
        _ if wish.eq_ignore_ascii_case(b"session") => Wish::Hint(Hint::Session),
        _ => level(wish).map_or(Wish::Hint(Hint::Primary), Wish::Level),
    })
}

/// The level in `consistency=eventual`.
fn level(wish: &[u8]) -> Option<Consistency> {
    const KEY: &[u8] = b"consistency=";
    let (key, level) = wish.split_at_checked(KEY.len())?;
    let mut lower = [0; LONGEST_LEVEL];
    let lower = lower.get_mut(..level.len()).filter(|_| key.eq_ignore_ascii_case(KEY))?;
    lower.copy_from_slice(level);
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).ok()?.parse().ok()
}

/// A MySQL comment whose content is code for some servers: `/*! … */`, `/*!80000 … */`, MariaDB's `/*M! … */`.
pub(super) enum CodeComment {
    /// It holds nothing but words that cannot change the class, run or not; it is this long, delimiter included.
    Blank(usize),
    /// Code begins behind this many bytes.
    Code(usize),
    /// The text ends in it.
    Open,
}

/// Says whether the comment runs.
pub(super) fn code_comment(rest: &[u8]) -> Option<CodeComment> {
    let marker = match rest {
        [b'!', ..] => 1,
        [b'M' | b'm', b'!', ..] => 2,
        _ => return None,
    };
    let digits = rest.iter().skip(marker).take_while(|byte| byte.is_ascii_digit()).count();
    let start = marker + digits;
    let mut at = start;
    loop {
        let code = rest.get(at..).unwrap_or_default();
        match code {
            [] | [b'*'] => return Some(CodeComment::Open),
            [b' ' | b'\t' | b'\n' | b'\r', ..] => at += 1,
            [b'*', b'/', ..] => return Some(CodeComment::Blank(at + 2)),
            _ => match modifier(code) {
                Some(length) => at += length,
                None => return Some(CodeComment::Code(start)),
            },
        }
    }
}

/// The length of the word at the beginning of `code`, if it is about caching and planning only.
fn modifier(code: &[u8]) -> Option<usize> {
    let is_letter = |byte: &&u8| **byte == b'_' || byte.is_ascii_alphabetic();
    let word = code.get(..code.iter().take(32).take_while(is_letter).count())?;
    MODIFIERS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word)).then_some(word.len())
}

const MODIFIERS: [&str; 7] = [
    "high_priority",
    "sql_big_result",
    "sql_buffer_result",
    "sql_cache",
    "sql_no_cache",
    "sql_small_result",
    "straight_join",
];
