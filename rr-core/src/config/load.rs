//! Reading a configuration from text and files.
//!
//! The errors of the TOML and JSON libraries print the offending line or value, where a password may stand.
//! They never leave this module: only the place and a message without values do.

use std::path::Path;

use super::error::{ConfigError, ConfigErrors, Format};
use super::{Config, text};

impl Config {
    /// Reads TOML. Does not [`validate`](Self::validate): the environment may still add what is missing.
    ///
    /// # Errors
    /// When it is not TOML, has a key that is not known, or a value of the wrong kind.
    pub fn from_toml(source: &str) -> Result<Self, ConfigError> {
        toml::from_str(source).map_err(|mut error| {
            let (line, column) = place(source, error.span().map_or(0, |span| span.start));
            let message = text::of_serde(error.message());
            // Without its input the error prints no line of it, but the path of the key.
            error.set_input(None);
            let printed = error.to_string();
            let key = printed.rsplit_once("\nin `").and_then(|(_, key)| key.trim_end().strip_suffix('`'));
            let key = key.map(text::key).unwrap_or_default();
            ConfigError::Parse { format: Format::Toml, line, column, key, message }
        })
    }

    /// Reads JSON, with the same keys as in TOML. Does not [`validate`](Self::validate).
    ///
    /// # Errors
    /// As [`Config::from_toml`].
    pub fn from_json(source: &str) -> Result<Self, ConfigError> {
        serde_json::from_str(source).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let printed = error.to_string();
            let message =
                printed.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&printed);
            let message = text::of_serde(message);
            ConfigError::Parse { format: Format::Json, line, column, key: String::new(), message }
        })
    }

    /// Reads a `.toml` or `.json` file. Does not [`validate`](Self::validate).
    ///
    /// # Errors
    /// When the file cannot be read, or as [`Config::from_toml`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let parse = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => Self::from_toml,
            Some("json") => Self::from_json,
            _ => return Err(ConfigError::Extension { path: path.to_owned() }),
        };
        let source = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        parse(&source)
    }

    /// The usual way to start: the file, the environment over it, and everything checked.
    ///
    /// # Errors
    /// Everything that is wrong with the file, the environment, or both together.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigErrors> {
        let config = Self::from_file(path)?.overlay_process_env()?;
        config.validate()?;
        Ok(config)
    }
}

/// Line and column, both from 1, of a byte of the text.
fn place(source: &str, byte: usize) -> (usize, usize) {
    let before = source.get(..byte.min(source.len())).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
