//! Where this machine keeps the PostgreSQL server programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use super::error::{ClusterError, Result};

#[cfg(target_os = "macos")]
const ADVICE: &str = "install them with `brew install postgresql@17`, or let RR_PG_BIN name their folder";
#[cfg(not(target_os = "macos"))]
const ADVICE: &str = "install them with `sudo apt-get install postgresql` (or your system's like), or let RR_PG_BIN name their folder";

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
    /// When there are none; the error says what to install. A wrong `RR_PG_BIN` is an error as well, rather
    /// than a quiet test of another version.
    pub fn find() -> Result<Self> {
        if let Some(folder) = env::var_os("RR_PG_BIN") {
            return Self::at(folder);
        }
        let places = pg_config().into_iter().chain(path_folders()).chain(packaged_folders());
        places
            .filter(|folder| holds_programs(folder))
            .find_map(|folder| Self::at(folder).ok())
            .ok_or(ClusterError::NoServerPrograms { advice: ADVICE })
    }

    /// The programs in `folder`.
    ///
    /// # Errors
    /// When they are not there or cannot tell their version.
    pub fn at(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        let wrong = || ClusterError::WrongFolder { folder: folder.display().to_string(), advice: ADVICE };
        // Servers start in folders of their own, from where a relative path leads elsewhere.
        let folder = fs::canonicalize(&folder).map_err(|_| wrong())?;
        if !holds_programs(&folder) {
            return Err(wrong());
        }
        let version = first_line(Command::new(folder.join("postgres")).arg("--version")).ok_or_else(wrong)?;
        Ok(Self { folder, version })
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

fn pg_config() -> Option<PathBuf> {
    first_line(Command::new("pg_config").arg("--bindir")).map(PathBuf::from)
}

fn path_folders() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// The folders of the common packagers, newest version first.
fn packaged_folders() -> Vec<PathBuf> {
    const PARENTS: [(&str, &str); 5] = [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
        ("/home/linuxbrew/.linuxbrew/opt", "postgresql@"),
    ];
    let mut found = Vec::new();
    for (parent, prefix) in PARENTS {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix));
            if let Some(version) = version.and_then(|version| version.parse::<u32>().ok()) {
                found.push((version, entry.path().join("bin")));
            }
        }
    }
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| String::from(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Programs {
        Programs { folder: PathBuf::new(), version: String::from(text) }
    }

    #[test]
    fn major_version_is_read_from_every_packager_s_text() {
        assert_eq!(version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)").major(), 15);
        assert_eq!(version("postgres (PostgreSQL) 19devel").major(), 19);
        assert_eq!(version("postgres").major(), 0);
    }

    #[test]
    fn a_folder_without_programs_is_refused_with_advice() {
        let empty = tempfile::tempdir().unwrap();
        let error = Programs::at(empty.path()).unwrap_err().to_string();
        assert!(error.contains("install them with"), "{error}");
        assert!(error.contains(empty.path().to_str().unwrap()), "{error}");
    }
}
