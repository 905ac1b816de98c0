//! What can be wrong with a configuration. Every error names the key and says what to write instead.

use std::fmt;

use super::url::UrlError;

/// One thing that is wrong. Never holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No primary was given.
    #[error("primary.url: is missing; set it in the file, or set RR_PRIMARY_URL or DATABASE_URL")]
    MissingPrimary,
    /// A URL that cannot be used.
    #[error("{key}: {source}")]
    Url {
        /// Where it stands.
        key: String,
        /// Why.
        source: UrlError,
    },
}

/// Everything that is wrong with a configuration, one per line. Never empty.
#[derive(Debug)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The single errors.
    #[must_use]
    pub fn errors(&self) -> &[ConfigError] {
        &self.0
    }

    /// `Ok` when there are none.
    pub(super) fn check(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}
