//! Real texts, changed: they get much further into a parser than random ones.

/// A text that is taken apart into what a reader would call its words.
#[must_use]
pub fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let same = |c: char| {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            (word(first) && word(c)) || (first.is_whitespace() && c.is_whitespace())
        };
        let end = rest.find(|c| !same(c)).unwrap_or(rest.len()).max(first.len_utf8());
        let (token, behind) = rest.split_at(end);
        found.push(token);
        rest = behind;
    }
    found
}

/// What a query can be put into.
const FRAMES: &[(&str, &str)] = &[
    ("EXPLAIN ", ""),
    ("EXPLAIN ANALYZE ", ""),
    ("EXPLAIN (ANALYZE, BUFFERS) ", ""),
    ("(", ")"),
    ("SELECT * FROM (", ") q"),
    ("SELECT (", ")"),
    ("SELECT EXISTS (", ")"),
    ("WITH x AS (", ") SELECT * FROM x"),
    ("WITH x AS MATERIALIZED (", ") TABLE x"),
    ("WITH RECURSIVE x(a) AS (SELECT 1 UNION ALL ", ") SELECT a FROM x"),
    ("WITH x AS (SELECT 1) ", ""),
    ("SELECT 1 UNION ALL ", ""),
    ("", " UNION SELECT 1"),
    ("SELECT 1; ", ""),
    ("", "; SELECT 1"),
    ("", " FOR UPDATE"),
    ("SELECT a FROM t WHERE b IN (", ") ORDER BY c LIMIT 1"),
    ("VALUES ((", "))"),
    ("/* ", " */ SELECT 1"),
    ("SELECT '", "'"),
    ("SELECT $a$", "$a$"),
];

/// Pieces that begin, end or break something.
const FRAGMENTS: &[&str] = &[
    "'", "\"", "`", "\\", "$$", "$1", "E'", "U&'", "N'", "x'", "b'", "/*", "*/", "/*!", "--", "-- ", "#",
    "\n", "\0", "@", "@@", "::", ":=", "..", "1.", "1e", "é", "\u{feff}", "\u{a0}", "{", "[", "]", "}", ";",
    "(", ")", ",", "''", "\"\"", "/**/",
];

/// A text out of `pool`, changed as the numbers say: one of them chooses it, each of the others is one edit.
///
/// `pool` must not be empty.
#[must_use]
pub fn mutated(pool: &[&str], numbers: &[u32]) -> String {
    let any = |number: u32| pool[usize::try_from(number).unwrap_or(0) % pool.len()];
    let Some((first, edits)) = numbers.split_first() else { return String::new() };
    let mut text = any(*first).to_owned();
    for number in edits {
        let [kind, at, low, high] = number.to_le_bytes();
        let what = u32::from(u16::from_le_bytes([low, high]));
        text = edited(&text, kind, at, any(what), what);
    }
    text
}

fn edited(text: &str, kind: u8, at: u8, other: &str, number: u32) -> String {
    let words = tokens(text);
    let at = usize::from(at) % (words.len() + 1);
    let number = usize::try_from(number).unwrap_or(0);
    let (before, behind) = (words[..at].concat(), words[at..].concat());
    let without = words.get(at + 1..).unwrap_or_default().concat();
    let word = words.get(at).copied().unwrap_or_default();
    let others = tokens(other);
    let foreign = others.get(number / 7 % others.len().max(1)).copied().unwrap_or_default();
    match kind % 16 {
        0 => before + &without,
        1 => format!("{before}{word} {behind}"),
        2 => before,
        3 | 4 => format!("{before} {foreign} {behind}"),
        5 | 6 => format!("{before}{foreign}{without}"),
        7 => format!("{before} {other} {behind}"),
        8 => format!("{before}{}", others[number % (others.len() + 1)..].concat()),
        9 | 10 => {
            let (open, close) = FRAMES[number % FRAMES.len()];
            format!("{open}{text}{close}")
        }
        11 => {
            let (open, close) = FRAMES[number % FRAMES.len()];
            format!("{before}{open}{word}{close}{without}")
        }
        12 => format!("{before}{}{behind}", FRAGMENTS[number % FRAGMENTS.len()]),
        13 => format!("{before}{}{without}", FRAGMENTS[number % FRAGMENTS.len()]),
        14 => format!("{before}/* x */{}{without}", word.to_uppercase()),
        _ => {
            before + &char::from_u32(u32::try_from(number).unwrap_or(0)).unwrap_or('\0').to_string() + &behind
        }
    }
}

/// A list out of `pool`, changed as the numbers say: elements and digits of it, and never what holds them together. Of a
/// text as short as a position nearly all that [`mutated`] does is refused.
///
/// `pool` must not be empty.
#[must_use]
pub fn relisted(pool: &[&str], numbers: &[u32]) -> String {
    let any = |number: u32| pool[usize::try_from(number).unwrap_or(0) % pool.len()];
    let Some((first, edits)) = numbers.split_first() else { return String::new() };
    let mut text = any(*first).to_owned();
    for number in edits {
        let [kind, at, by, other] = number.to_le_bytes();
        let mut elements: Vec<&str> = text.split(',').collect();
        let (one, two) = (usize::from(at) % elements.len(), usize::from(by) % elements.len());
        match kind % 6 {
            0 => elements.swap(one, two),
            1 => elements.insert(one, elements[two]),
            2 => elements.push(any(other.into())),
            3 if elements.len() > 1 => drop(elements.remove(one)),
            _ => {}
        }
        text = elements.join(",");
        if kind % 6 > 2 {
            text = redigited(&text, at, by);
        }
    }
    text
}

/// Another digit in place of one of the digits.
fn redigited(text: &str, at: u8, by: u8) -> String {
    let digits: Vec<usize> = text.match_indices(|c: char| c.is_ascii_digit()).map(|(at, _)| at).collect();
    let Some(place) = digits.get(usize::from(at) % digits.len().max(1)) else { return text.to_owned() };
    format!("{}{}{}", &text[..*place], by % 10, &text[place + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_the_whole_text() {
        assert_eq!(tokens("SELECT  a_1+é('x')"), ["SELECT", "  ", "a_1", "+", "é", "(", "'", "x", "'", ")"]);
        assert!(tokens("").is_empty());
    }
}
