//! Machines of the packagers, made of folders with programs that know no more than their version.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// A machine: below its root lie the packagers' folders and those of its `PATH`.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    /// Server programs of this version in this folder.
    fn with(self, folder: &str, version: &str) -> Self {
        self.program(folder, "initdb", "").program(folder, "postgres", &said(version))
    }

    fn program(self, folder: &str, name: &str, says: &str) -> Self {
        let folder = self.folder(folder);
        fs::create_dir_all(&folder).unwrap();
        // By a process of its own: what another test starts meanwhile would hold our file open, and nobody can run that.
        let make = "printf '#!/bin/sh\necho \"%s\"\n' \"$1\" >\"$2\" && chmod 755 \"$2\"";
        let made = Command::new("sh").args(["-c", make, "sh", says]).arg(folder.join(name)).status();
        assert!(made.unwrap().success());
        self
    }

    fn folder(&self, folder: &str) -> PathBuf {
        self.root.path().join(folder)
    }

    fn search(&self, path: &[&str]) -> Result<Programs> {
        let path = env::join_paths(path.iter().map(|folder| self.folder(folder))).unwrap();
        Programs::search(None, &path, self.root.path())
    }

    /// Where it finds programs, as below the root, and their version.
    fn found(&self, path: &[&str]) -> (String, u32) {
        let found = self.search(path).unwrap();
        let root = fs::canonicalize(self.root.path()).unwrap();
        (found.folder.strip_prefix(root).unwrap().display().to_string(), found.major())
    }
}

fn said(version: &str) -> String {
    format!("postgres (PostgreSQL) {version}")
}

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

#[test]
fn each_packager_s_newest_version_is_found_without_a_path() {
    for (older, newer) in [
        ("usr/lib/postgresql/9/bin", "usr/lib/postgresql/15/bin"),
        ("usr/pgsql-9/bin", "usr/pgsql-16/bin"),
        ("opt/homebrew/opt/postgresql@9/bin", "opt/homebrew/opt/postgresql@17/bin"),
        ("usr/local/opt/postgresql@9/bin", "usr/local/opt/postgresql@14/bin"),
        ("home/linuxbrew/.linuxbrew/opt/postgresql@9/bin", "home/linuxbrew/.linuxbrew/opt/postgresql@18/bin"),
    ] {
        let major = newer.split(|c: char| !c.is_ascii_digit()).find(|number| !number.is_empty()).unwrap();
        let machine = Machine::new().with(older, "9.6.24").with(newer, &format!("{major}.1"));
        assert_eq!(machine.found(&["bin"]), (newer.to_owned(), major.parse().unwrap()));
    }
}

#[test]
fn among_packagers_the_newest_version_wins() {
    let machine = Machine::new()
        .with("usr/lib/postgresql/15/bin", "15.18")
        .with("usr/local/opt/postgresql@17/bin", "17.6")
        .with("opt/homebrew/opt/postgresql@16/bin", "16.2");
    assert_eq!(machine.found(&[]), ("usr/local/opt/postgresql@17/bin".to_owned(), 17));
}

/// Only programs that are too old are passed over: a version that cannot be read may be a new one.
#[test]
fn versions_that_are_too_old_are_passed_over_and_named_when_there_is_nothing_else() {
    let old = Machine::new().with("own", "13.23").with("usr/lib/postgresql/9/bin", "9.6.24");
    let error = old.search(&["own"]).unwrap_err().to_string();
    let told = |what: &str| error.contains(what);
    assert!(told(&said("13.23")) && told("14 or newer is needed") && told("RR_PG_BIN"), "{error}");
    assert!(!error.contains('\n'), "one sentence: {error}");

    let named = Programs::search(Some(old.folder("own").into()), OsStr::new(""), old.root.path());
    assert!(named.unwrap_err().to_string().contains(&said("13.23")));

    let machine = old.with("usr/lib/postgresql/14/bin", "14.0");
    assert_eq!(machine.found(&["own"]), ("usr/lib/postgresql/14/bin".to_owned(), 14));
    let machine = machine.with("other", "unknown");
    assert_eq!(machine.found(&["own", "other"]), ("other".to_owned(), 0));
}

/// What was removed but for its documentation, was made for another machine, or is no version at all.
#[test]
fn what_does_not_run_is_passed_over() {
    let machine = Machine::new()
        .with("usr/lib/postgresql/15/bin", "15.18")
        .program("usr/lib/postgresql/16/bin", "postgres", &said("16.2"))
        .program("usr/lib/postgresql/17/bin", "psql", "")
        .program("usr/lib/postgresql/18/bin", "initdb", "")
        .program("usr/lib/postgresql/18/bin", "postgres", "")
        .with("usr/lib/postgresql/19/bin", "19.0")
        .with("usr/lib/postgresql/common/bin", "20.0")
        .with("opt/homebrew/opt/postgresql/bin", "21.0");
    let not_executable = machine.folder("usr/lib/postgresql/19/bin/postgres");
    fs::set_permissions(not_executable, PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(machine.found(&["bin"]), ("usr/lib/postgresql/15/bin".to_owned(), 15));
}

/// Who puts a version on the `PATH` means that one, whatever else is installed; and `pg_config` comes with it.
#[test]
fn the_path_goes_before_the_packagers_and_pg_config_before_the_path() {
    let machine = Machine::new()
        .with("usr/lib/postgresql/17/bin", "17.6")
        .with("own/first", "14.1")
        .with("own/second", "16.2");
    assert_eq!(machine.found(&["bin", "own/first", "own/second"]), ("own/first".to_owned(), 14));
    assert_eq!(machine.found(&["own/second", "own/first"]), ("own/second".to_owned(), 16));

    let bindir = machine.folder("built/bin").display().to_string();
    let machine = machine.with("built/bin", "19devel").program("bin", "pg_config", &bindir);
    assert_eq!(machine.found(&["own/first", "bin"]), ("built/bin".to_owned(), 19));

    // Debian's comes with the client library, without servers.
    let machine = machine.program("bin", "pg_config", "/nowhere/bin");
    assert_eq!(machine.found(&["bin"]), ("usr/lib/postgresql/17/bin".to_owned(), 17));
}

/// A wrong name is an error, rather than a quiet test of another version.
#[test]
fn a_named_folder_is_the_only_one_that_is_looked_at() {
    let machine = Machine::new().with("usr/lib/postgresql/17/bin", "17.6").with("own", "15.1");
    let search = |named: &str| {
        let path = machine.folder("usr/lib/postgresql/17/bin");
        Programs::search(Some(machine.folder(named).into()), path.as_os_str(), machine.root.path())
    };
    assert_eq!(search("own").unwrap().major(), 15);
    for wrong in ["nowhere", "usr"] {
        let error = search(wrong).unwrap_err().to_string();
        assert!(error.contains(wrong) && error.contains("RR_PG_BIN"), "{error}");
    }
}

#[test]
fn without_any_one_sentence_says_what_to_install() {
    let error = Machine::new().search(&["bin", "usr/bin"]).unwrap_err().to_string();
    assert!(error.starts_with("found no PostgreSQL server programs: install them with `"), "{error}");
    assert!(error.contains("RR_PG_BIN"), "{error}");
    assert!(!error.contains(['\n', '.']), "one sentence: {error}");
}
