//! Tests of the configuration as a whole, one file for each risk.

mod discovery;
mod environment;
mod files;
mod guide;
mod notifiers;
mod secrecy;
mod urls;
mod validation;

use super::Config;

/// A configuration from TOML that must be readable.
fn toml(text: &str) -> Config {
    Config::from_toml(text).unwrap_or_else(|error| panic!("{error}\nin {text}"))
}

/// A configuration from TOML, at a primary unless the text has one.
fn valid(text: &str) -> Config {
    let mut config = toml(text);
    if config.primary.url.is_unset() {
        config.primary.url = "postgres://db-1/shop".try_into().expect("a URL");
    }
    config
}
