//! Where this machine keeps the PostgreSQL server programs.

use std::cmp::Reverse;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use super::error::{ClusterError, Result};

#[cfg(target_os = "macos")]
const ADVICE: &str = "install them with `brew install postgresql@17`, or let RR_PG_BIN name their folder";
#[cfg(not(target_os = "macos"))]
const ADVICE: &str = "install them with `sudo apt-get install postgresql` (or your system's like), or let RR_PG_BIN name their folder";

/// Older ones lack what the harness asks them, such as `pg_get_wal_replay_pause_state`.
const OLDEST: u32 = 14;

/// A folder with `initdb` and `postgres`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    folder: PathBuf,
    version: String,
}

impl Programs {
    /// Finds the programs: the folder that `RR_PG_BIN` names, else what `pg_config` says, else `PATH`, else
    /// the newest of Debian's, Red Hat's or Homebrew's folders.
    ///
    /// # Errors
    /// When there are none but of versions before 14; the error says what to install. A wrong `RR_PG_BIN` is an error as
    /// well, rather than a quiet test of another version.
    pub fn find() -> Result<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        Self::search(env::var_os("RR_PG_BIN"), &path, Path::new("/"))
    }

    /// [`find`](Self::find) with this folder named, if any, on a machine with this `PATH` and this root.
    fn search(named: Option<OsString>, path: &OsStr, root: &Path) -> Result<Self> {
        if let Some(folder) = named {
            return Self::at(folder);
        }
        let on_path = env::split_paths(path).filter(|folder| !folder.as_os_str().is_empty());
        let on_path: Vec<PathBuf> = on_path.collect();
        let told = on_path.iter().find_map(|folder| bindir(&folder.join("pg_config")));
        let folders = told.into_iter().chain(on_path).chain(packaged_folders(root));
        let mut too_old = None;
        for folder in folders.filter(|folder| holds_programs(folder)) {
            match Self::at(folder) {
                Ok(found) => return Ok(found),
                Err(old @ ClusterError::OldServerPrograms { .. }) => too_old = too_old.or(Some(old)),
                Err(_) => {}
            }
        }
        // Of those that do not count it has to be said why.
        Err(too_old.unwrap_or(ClusterError::NoServerPrograms { advice: ADVICE }))
    }

    /// The programs in `folder`.
    ///
    /// # Errors
    /// When they are not there, cannot tell their version, or are older than 14.
    pub fn at(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        let wrong = || ClusterError::WrongFolder { folder: folder.display().to_string(), advice: ADVICE };
        // Servers start in folders of their own, from where a relative path leads elsewhere.
        let folder = fs::canonicalize(&folder).map_err(|_| wrong())?;
        if !holds_programs(&folder) {
            return Err(wrong());
        }
        let version = first_line(Command::new(folder.join("postgres")).arg("--version")).ok_or_else(wrong)?;
        let found = Self { folder, version };
        if (1..OLDEST).contains(&found.major()) {
            let Self { folder, version } = found;
            let folder = folder.display().to_string();
            return Err(ClusterError::OldServerPrograms { folder, version, oldest: OLDEST, advice: ADVICE });
        }
        Ok(found)
    }

    /// What `postgres --version` says, such as `postgres (PostgreSQL) 15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The major version, such as 15; zero when the version text has no number.
    #[must_use]
    pub fn major(&self) -> u32 {
        let digits = self.version.split(|c: char| !c.is_ascii_digit());
        digits.into_iter().find_map(|number| number.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn holds_programs(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

fn bindir(pg_config: &Path) -> Option<PathBuf> {
    first_line(Command::new(pg_config).arg("--bindir")).map(PathBuf::from)
}

/// The folders of the common packagers below this root, newest version first.
fn packaged_folders(root: &Path) -> Vec<PathBuf> {
    const PARENTS: [(&str, &str); 5] = [
        ("usr/lib/postgresql", ""),
        ("usr", "pgsql-"),
        ("opt/homebrew/opt", "postgresql@"),
        ("usr/local/opt", "postgresql@"),
        ("home/linuxbrew/.linuxbrew/opt", "postgresql@"),
    ];
    let mut found = Vec::new();
    for (parent, prefix) in PARENTS {
        for entry in fs::read_dir(root.join(parent)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix));
            if let Some(version) = version.and_then(|version| version.parse::<u32>().ok()) {
                found.push((version, entry.path().join("bin")));
            }
        }
    }
    found.sort_by_key(|(version, _)| Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| String::from(line))
}

#[cfg(test)]
mod tests;
