//! The command line: `rr-bench <benchmark> [NUMBER] [--quick] [--report FILE] [--into FOLDER]`.

use std::path::PathBuf;
use std::time::Duration;

use crate::Error;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) benchmark: String,
    /// How long, or how often, where that may be said.
    number: Option<u32>,
    /// Just long enough to see that it works.
    pub(crate) quick: bool,
    /// Where to write the figures as data.
    pub(crate) report: Option<PathBuf>,
    /// Where to write the results of all.
    pub(crate) into: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, Error> {
        let mut words = words.into_iter();
        let mut parsed = Self { benchmark: words.next().ok_or(crate::USAGE)?, ..Self::default() };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => parsed.quick = true,
                "--into" => parsed.into = Some(words.next().ok_or("--into needs a folder")?.into()),
                "--report" => parsed.report = Some(words.next().ok_or("--report needs a file")?.into()),
                number => {
                    let unknown =
                        |_| format!("{number:?} is neither a number nor an option\n{}", crate::USAGE);
                    parsed.number = Some(number.parse().map_err(unknown)?);
                }
            }
        }
        Ok(parsed)
    }

    /// How long each measurement takes; `quick` is in milliseconds.
    pub(crate) fn seconds(&self, default: u64, quick: u64) -> Duration {
        match self.number {
            Some(seconds) => Duration::from_secs(seconds.into()),
            None if self.quick => Duration::from_millis(quick),
            None => Duration::from_secs(default),
        }
    }

    /// How often something is measured.
    pub(crate) fn rounds(&self, default: u32, quick: u32) -> u32 {
        self.number.unwrap_or(if self.quick { quick } else { default })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Arguments, Error> {
        Arguments::parse(text.split_whitespace().map(String::from))
    }

    #[test]
    fn options_and_a_number_follow_the_name_in_any_order() {
        let parsed = parse("causal --quick 3 --report some.json").unwrap();
        assert_eq!((parsed.benchmark.as_str(), parsed.quick), ("causal", true));
        assert_eq!(parsed.seconds(5, 200), Duration::from_secs(3));
        assert_eq!(parse("tail --quick").unwrap().seconds(5, 200), Duration::from_millis(200));
        assert_eq!(parse("failover").unwrap().rounds(20, 1), 20);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        assert!(parse("").is_err());
        let error = parse("causal --quik").unwrap_err().to_string();
        assert!(error.contains("--quik"), "{error}");
    }
}
