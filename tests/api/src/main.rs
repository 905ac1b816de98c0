//! Lists the public API of every package of the workspace that is published: `rr-api METADATA JSON OUT`.
//!
//! `METADATA` is what `cargo metadata --no-deps` printed, `JSON` the folder that rustdoc's JSON was written to, and `OUT` the
//! folder for the listings, one `<package>.txt` each. `scripts/check-api.sh` holds them against `docs/api/`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    /// The registries that it may go to: `None` is any, and an empty list is none.
    publish: Option<Vec<String>>,
    features: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("usage: rr-api METADATA JSON OUT")]
    Usage,
    #[error("{}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{} is not what cargo metadata prints", path.display())]
    Metadata { path: PathBuf, source: serde_json::Error },
    #[error("{} is not rustdoc's JSON in a format that is understood", path.display())]
    Json { path: PathBuf, source: public_api::Error },
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [metadata, json, out] = arguments.as_slice() else { return Err(Error::Usage.into()) };
    let text = std::fs::read(metadata).map_err(|source| Error::File { path: metadata.clone(), source })?;
    let read: Metadata =
        serde_json::from_slice(&text).map_err(|source| Error::Metadata { path: metadata.clone(), source })?;
    for package in
        read.packages.iter().filter(|package| package.publish.as_ref().is_none_or(|to| !to.is_empty()))
    {
        let path = out.join(format!("{}.txt", package.name));
        let listing = listing(package, json)?;
        std::fs::write(&path, listing).map_err(|source| Error::File { path, source })?;
    }
    Ok(())
}

fn listing(package: &Package, json: &Path) -> Result<String, Error> {
    let path = json.join(format!("{}.json", package.name.replace('-', "_")));
    let api = public_api::Builder::from_rustdoc_json(&path)
        .omit_blanket_impls(true)
        .build()
        .map_err(|source| Error::Json { path, source })?;
    let mut listing = format!("# The public API of {}, written by `make api ACCEPT=1`.\n", package.name);
    for (feature, brings) in &package.features {
        // What a feature asks of dependencies is nobody's business but ours.
        let ours: Vec<&str> =
            brings.iter().map(String::as_str).filter(|brought| !brought.contains([':', '/'])).collect();
        let _ = writeln!(
            listing,
            "{}",
            format!("feature {feature} = {}", ours.join(" ")).trim_end_matches([' ', '='])
        );
    }
    for item in api.items().map(ToString::to_string).filter(|item| !goes_without_saying(item)) {
        let _ = writeln!(listing, "{item}");
    }
    Ok(listing)
}

/// Whether an item is an implementation of an auto trait without a condition, which most types have: a listing has the
/// exceptions (`impl !Send for …`, `… where T: Send`), so that one that is lost is a new line.
fn goes_without_saying(item: &str) -> bool {
    let Some((_, implemented)) = item.split_once("impl").filter(|(before, _)| before.is_empty()) else {
        return false;
    };
    // Behind the parameters, if it has any.
    let implemented = match implemented.strip_prefix('<') {
        Some(parameters) => parameters.split_once("> ").map_or(parameters, |(_, behind)| behind),
        None => implemented.trim_start(),
    };
    // These two are the compiler's own: nobody can name them.
    if implemented.trim_start_matches('!').starts_with("core::marker::Freeze for ")
        || implemented.trim_start_matches('!').starts_with("core::marker::UnsafeUnpin for ")
    {
        return true;
    }
    let auto = [
        "marker::Send",
        "marker::Sync",
        "marker::Unpin",
        "panic::unwind_safe::UnwindSafe",
        "panic::unwind_safe::RefUnwindSafe",
    ];
    auto.iter().any(|name| {
        implemented
            .strip_prefix("core::")
            .and_then(|implemented| implemented.strip_prefix(name))
            .is_some_and(|behind| behind.starts_with(" for ") && !behind.contains(" where "))
    })
}

#[cfg(test)]
mod tests {
    use super::goes_without_saying;

    #[test]
    fn only_exceptions_of_auto_traits_are_listed() {
        for said in [
            "impl !core::marker::Send for rr::Route",
            "impl<T> core::marker::Send for rr::Pool<T> where T: core::marker::Send",
            "impl core::clone::Clone for rr::Route",
            "pub fn rr::implement() -> core::marker::Send for ",
        ] {
            assert!(!goes_without_saying(said), "{said}");
        }
        for unsaid in [
            "impl core::marker::Send for rr::Route",
            "impl<'a> core::marker::Unpin for rr::Route<'a>",
            "impl core::panic::unwind_safe::RefUnwindSafe for rr::Route",
            "impl<T> core::marker::Freeze for rr::Pool<T> where T: core::marker::Freeze",
            "impl !core::marker::Freeze for rr::Route",
        ] {
            assert!(goes_without_saying(unsaid), "{unsaid}");
        }
    }
}
