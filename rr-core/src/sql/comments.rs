//! Block comments: where they end, the hints in them, and those that MySQL runs.
//!
//! Every function gets the text behind `/*`.

use super::Hint;

/// The length of a comment that ends at the first `*/`.
pub(super) fn flat(rest: &[u8]) -> Option<usize> {
    rest.windows(2).position(|pair| pair == b"*/")
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
pub(super) fn hint(comment: &[u8]) -> Option<Hint> {
    let (prefix, wish) = comment.trim_ascii().split_first_chunk::<3>()?;
    if !prefix.eq_ignore_ascii_case(b"rr:") {
        return None;
    }
    let wish = wish.trim_ascii_start();
    Some(match wish {
        _ if wish.eq_ignore_ascii_case(b"replica") => Hint::Replica,
        _ if wish.eq_ignore_ascii_case(b"session") => Hint::Session,
        _ => Hint::Primary,
    })
}

/// A MySQL comment whose content is code for some servers: `/*! … */`, `/*!80000 … */`, MariaDB's `/*M! … */`.
pub(super) struct CodeComment {
    /// How much of the text to skip: the version, or the whole comment.
    pub(super) skip: usize,
    /// The comment holds nothing but words that cannot change the class, run or not.
    pub(super) is_blank: bool,
}

/// Says whether the comment runs.
pub(super) fn code_comment(rest: &[u8]) -> Option<CodeComment> {
    let marker = match rest {
        [b'!', ..] => 1,
        [b'M' | b'm', b'!', ..] => 2,
        _ => return None,
    };
    let digits = rest.get(marker..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let code = rest.get(marker + digits..)?;
    Some(harmless(code).map_or(CodeComment { skip: marker + digits, is_blank: false }, |length| {
        CodeComment { skip: marker + digits + length + 2, is_blank: true }
    }))
}

/// The length of a code comment that holds only modifiers of `SELECT` which are about caching and planning.
fn harmless(code: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = code.get(at..)?;
        match rest.first()? {
            b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            b'*' if rest.get(1) == Some(&b'/') => return Some(at),
            _ => {
                let length = rest
                    .iter()
                    .take(32)
                    .take_while(|byte| **byte == b'_' || byte.is_ascii_alphabetic())
                    .count();
                let word = rest.get(..length)?;
                if !MODIFIERS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word)) {
                    return None;
                }
                at += length;
            }
        }
    }
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
