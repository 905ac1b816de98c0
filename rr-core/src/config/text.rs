//! Messages about what a user wrote, in words of the file rather than of serde.
//!
//! A text value is never repeated, whatever its key: a URL with its password may have landed there. Keys,
//! numbers and the place in the file are enough to find it. Keys are repeated if they look like names.

/// The path of a key, such as `pool.replica.max`, with `…` for parts that do not look like a name.
pub(super) fn key(path: &str) -> String {
    path.split('.').map(|part| if is_name(part) { part } else { "…" }).collect::<Vec<_>>().join(".")
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    !text.is_empty() && text.len() <= LONGEST && text.chars().all(plain)
}

/// No key is longer, so a longer word is not compared with any: that would cost its length times theirs.
const LONGEST: usize = 64;

/// The candidate that differs from `word` by the fewest typing errors, if it is similar at all.
pub(super) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let limit = (word.chars().count() / 4).max(2);
    let scored = candidates.into_iter().map(|candidate| (typing_errors(word, candidate), candidate));
    scored.filter(|(errors, _)| *errors <= limit).min_by_key(|(errors, _)| *errors).map(|(_, best)| best)
}

/// Insertions, deletions, replacements and swaps of neighbours that make `b` of `a`.
fn typing_errors(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// A message of serde's, without the values that it quotes, and in words that a user of the file knows.
pub(super) fn of_serde(message: &str) -> String {
    if let Some((name, known)) = offender(message, "unknown field `") {
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let best = closest(name, known.iter().copied());
        let name = key(name);
        return match best {
            Some(best) => format!("unknown key `{name}`; did you mean `{best}`?"),
            None => format!("unknown key `{name}`; the keys here are {}", known.join(", ")),
        };
    }
    if let Some((_, known)) = offender(message, "unknown variant `") {
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        return format!("is not known here; use {}", known.join(", "));
    }
    let mut out = without_literals(message);
    for (rust, plain) in [
        ("expected u8", "expected a whole number from 0 to 255"),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected a list"),
        ("expected struct ", "expected a table: "),
    ] {
        if let Some(start) = out.strip_suffix(rust) {
            out = format!("{start}{plain}");
        }
    }
    out
}

/// Splits ``prefix`offender`, expected …``. The offender is the user's and may hold anything, backticks too.
fn offender<'a>(message: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    message.strip_prefix(prefix)?.rsplit_once("`, expected ")
}

/// Leaves out each string value that serde quotes: `string "…"` becomes `a text`.
fn without_literals(message: &str) -> String {
    const OPENING: &str = "string \"";
    let Some(start) = message.find(OPENING) else { return message.to_owned() };
    let value = &message[start + OPENING.len()..];
    let mut escaped = false;
    let end = value.find(|c| {
        let closing = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closing
    });
    let rest = end.map_or("", |at| &value[at + 1..]);
    format!("{}a text{}", &message[..start], without_literals(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_shown() {
        assert_eq!(key("groups.Ad-Hoc_1.fallback"), "groups.Ad-Hoc_1.fallback");
        assert_eq!(key("groups.postgres://u:p@h.fallback"), "groups.….fallback");
        for other in ["", "u:p", "a b", "a\nb", "a`b", &"x".repeat(65)] {
            assert_eq!(key(other), "…", "{other}");
        }
    }

    #[test]
    fn typing_errors_are_counted() {
        let rows =
            [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("max", "mxa", 1), ("weight", "wieght", 1)];
        for (a, b, errors) in rows {
            assert_eq!((typing_errors(a, b), typing_errors(b, a)), (errors, errors), "{a} {b}");
        }
        assert_eq!(typing_errors("interval", "internal"), 1);
        assert_eq!(closest("wieght", ["width", "weight"]), Some("weight"));
        assert_eq!(closest("colour", ["weight"]), None);
        let long = "x".repeat(65);
        assert_eq!(closest(&long, [&*long]), None);
    }

    #[test]
    fn messages_of_serde_lose_the_values_they_quote() {
        let rows = [
            (
                "invalid type: string \"se\\\"cret\", expected u32",
                "invalid type: a text, expected a whole number from 0 to 4294967295",
            ),
            ("invalid type: string \"secret", "invalid type: a text"),
            ("unknown field `wei`ght`, expected `weight`", "unknown key `…`; did you mean `weight`?"),
            (
                "unknown field `x`, expected one of `name`, `url`",
                "unknown key `x`; the keys here are name, url",
            ),
            ("unknown variant `u://s:s@h`, expected one of `a`, `b`", "is not known here; use a, b"),
            ("unknown variant `x`, expected `y`, expected `a`", "is not known here; use a"),
            ("extra `=`, expected nothing", "extra `=`, expected nothing"),
            ("invalid type: integer `5`, expected a sequence", "invalid type: integer `5`, expected a list"),
        ];
        for (message, plain) in rows {
            assert_eq!(of_serde(message), plain, "{message}");
        }
    }
}
