//! Where the programs of proxies are.

use std::path::PathBuf;

/// What is on the `PATH` or where packages put it, else what `scripts/setup.sh proxies` has unpacked, and where the libraries
/// are that were unpacked with it.
pub(crate) fn installed(name: &str) -> Option<(PathBuf, Option<PathBuf>)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    if let Some(path) = installed.map(|folder| folder.join(name)).find(|path| path.is_file()) {
        return Some((path, None));
    }
    let built = std::env::current_exe().ok()?;
    let unpacked =
        built.ancestors().map(|folder| folder.join("tools/proxies/usr")).find(|usr| usr.is_dir())?;
    let path = Some(unpacked.join("sbin").join(name)).filter(|path| path.is_file())?;
    let libraries = std::fs::read_dir(unpacked.join("lib")).ok()?.flatten().map(|entry| entry.path());
    let libraries = libraries.into_iter().find(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    Some((path, libraries))
}
