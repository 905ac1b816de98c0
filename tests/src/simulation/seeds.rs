//! Seeds that once failed.

use serde::Deserialize;

/// A seed that found something, and what that was.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KeptSeed {
    /// The seed.
    pub seed: u64,
    /// What it found.
    pub why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    seeds: Vec<KeptSeed>,
}

/// The rows of `tests/spec/simulation/seeds.toml`.
///
/// # Errors
/// When the file is not what it should be.
pub fn kept_seeds() -> Result<Vec<KeptSeed>, toml::de::Error> {
    let file: File = toml::from_str(include_str!("../../spec/simulation/seeds.toml"))?;
    Ok(file.seeds)
}
