//! The startup options that a URL carries (`options=-c name=value`), as settings.
//!
//! The driver takes whole settings on top of others, but not a text of several.

use super::ConnectorError;

/// The settings of a text of startup options, by PostgreSQL's rules: they are separated by spaces, of which a backslash makes
/// ordinary characters.
pub(super) fn settings(options: &str) -> Result<Vec<(String, String)>, ConnectorError> {
    let words = words(options);
    let mut words = words.iter().map(String::as_str);
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c") {
            Some("") => words.next(),
            Some(joined) => Some(joined),
            None => word.strip_prefix("--"),
        };
        let (name, value) =
            setting.and_then(|setting| setting.split_once('=')).ok_or(ConnectorError::Options)?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn words(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            space if space.is_ascii_whitespace() => words.extend(word.take()),
            // One at the very end stands for nothing.
            '\\' => word.get_or_insert_default().extend(characters.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_read_as_the_server_reads_them() {
        for (options, expected) in [
            ("", &[][..]),
            ("  ", &[]),
            ("-c lock_timeout=4s", &[("lock_timeout", "4s")]),
            (
                "-clock_timeout=4s  --statement-timeout=5",
                &[("lock_timeout", "4s"), ("statement_timeout", "5")],
            ),
            (r"-c search_path=a,\ b -c x.y=1=2\\", &[("search_path", "a, b"), ("x.y", r"1=2\")]),
            ("-c application_name=", &[("application_name", "")]),
        ] {
            let read = settings(options).unwrap();
            let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(read, expected, "{options:?}");
        }
        for wrong in ["-c", "-c lock_timeout", "-B 16", "lock_timeout=4s", "-e"] {
            assert!(matches!(settings(wrong), Err(ConnectorError::Options)), "{wrong:?}");
        }
    }
}
