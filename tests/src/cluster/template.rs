//! A data folder that is initialised once for each server version and then only copied.
//!
//! `initdb` takes half a second, a copy on a memory file system a few hundredths. The templates of one user
//! stay in a folder that only this user can open, beside the clusters' own folders: the one thing that is left behind. Those that
//! were not used for a week, such as for other settings than today's, go when another one is made.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::account::Account;
use super::error::{ClusterError, Result};
use super::programs::Programs;

/// Fast, small and quick to notice what happens. `full_page_writes` stays on as in production: it
/// decides what a commit weighs. `mmap` keeps shared memory segments as files inside the data folder, so
/// that nothing is left in /dev/shm when a server is killed.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
dynamic_shared_memory_type = mmap
fsync = off
shared_buffers = 16MB
max_connections = 200
wal_log_hints = on
wal_keep_size = 1GB
autovacuum = off
wal_retrieve_retry_interval = 100ms
wal_receiver_timeout = 2s
wal_sender_timeout = 2s
wal_receiver_status_interval = 1s
hot_standby_feedback = on
log_line_prefix = '%m [%p] %b '
";

/// The ordinary role and its database; single-user mode wants one statement a line.
const ORDINARY_ROLE: &str = "CREATE ROLE app LOGIN\nCREATE DATABASE app OWNER app\n";

const INITDB: [&str; 9] = [
    "-A",
    "trust",
    "-U",
    "postgres",
    "--no-sync",
    "--no-instructions",
    "--locale=C",
    "-EUTF8",
    "--wal-segsize=16",
];

/// The stopped data folder to copy. It is made now if need be, or if it is to have a system identifier of its own, inside the cluster's `folder`, which must be on the
/// same file system as `base`.
pub(crate) fn template(
    programs: &Programs,
    account: &Account,
    base: &Path,
    folder: &Path,
    own_identity: bool,
) -> Result<PathBuf> {
    let fresh = folder.join("template");
    let cache = if own_identity { None } else { cache_folder(account, base)? };
    let Some(cache) = cache else {
        initialise(programs, account, folder, &fresh)?;
        return Ok(fresh);
    };
    let cached = cache.join(key(programs));
    // Only one of many test processes does the work; the lock ends with its holder.
    let describe = || ClusterError::io(format!("cannot lock {}", cache.display()));
    let lock = File::open(&cache).map_err(describe())?;
    lock.lock().map_err(describe())?;
    if !cached.is_dir() {
        remove_unused(account, &cache)?;
        initialise(programs, account, folder, &fresh)?;
        fs::rename(&fresh, &cached).map_err(ClusterError::io(cached.display().to_string()))?;
    }
    // It is used today.
    run(account.shell("touch \"$1\"", [&cached]).current_dir(&cache), "")?;
    Ok(cached)
}

/// Removes the templates that nobody has used for a week. Who copies one has just used it.
fn remove_unused(account: &Account, cache: &Path) -> Result<()> {
    let script = "find \"$1\" -mindepth 1 -maxdepth 1 -type d -mtime +6 -exec rm -rf {} +";
    run(account.shell(script, [cache]).current_dir(cache), "").map(drop)
}

/// Copies the template to `data`, adding `settings`.
pub(crate) fn copy(account: &Account, template: &Path, data: &Path, settings: &str) -> Result<()> {
    let mut command = account.shell("cp -a \"$1\" \"$2\" && cat >>\"$2/postgresql.conf\"", [template, data]);
    // Inside the cluster's folder, where the guardian finds it.
    if let Some(folder) = data.parent() {
        command.current_dir(folder);
    }
    run(&mut command, settings).map(drop)
}

/// Makes a copy that of a standby, adding `settings` which ALTER SYSTEM can change.
pub(crate) fn make_standby(account: &Account, data: &Path, settings: &str) -> Result<()> {
    let script = "cat >>postgresql.auto.conf && : >standby.signal";
    run(account.shell(script, [""; 0]).current_dir(data), settings).map(drop)
}

/// A folder that only the account can open, or `None`: whoever else could write there could slip us a server
/// configuration.
fn cache_folder(account: &Account, base: &Path) -> Result<Option<PathBuf>> {
    let folder = base.join(format!("rr-templates-{}", account.key()));
    let script = "test -d \"$1\" || mkdir -m 700 \"$1\" || test -d \"$1\"";
    run(account.shell(script, [&folder]).current_dir(base), "")?;
    let found = fs::symlink_metadata(&folder).map_err(ClusterError::io(folder.display().to_string()))?;
    let safe = found.is_dir() && found.uid() == account.owner() && found.mode() & 0o077 == 0;
    Ok(safe.then_some(folder))
}

fn key(programs: &Programs) -> String {
    let mut hasher = DefaultHasher::new();
    (programs.program("postgres"), programs.version()).hash(&mut hasher);
    (INITDB, SETTINGS, ORDINARY_ROLE).hash(&mut hasher);
    format!("{}-{:016x}", programs.major(), hasher.finish())
}

fn initialise(programs: &Programs, account: &Account, folder: &Path, data: &Path) -> Result<()> {
    let mut initdb = account.command(programs.program("initdb"));
    run(initdb.args(INITDB).arg("-D").arg(data).current_dir(folder), "")?;
    run(account.shell("cat >>postgresql.conf", [""; 0]).current_dir(data), SETTINGS)?;
    let mut single = account.command(programs.program("postgres"));
    single.arg("--single").arg("-D").arg(data).arg("postgres").current_dir(data);
    run(&mut single, ORDINARY_ROLE).map(drop)
}

/// Runs a program to its end with `input`; its failure is an error with all it said.
pub(crate) fn run(command: &mut Command, input: &str) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let describe = || ClusterError::io(format!("cannot run {program}"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(describe())?;
    // A few lines fit into the pipe, so writing them before reading the output cannot block. A program that
    // ended early tells why by its status.
    let _ended_early = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(describe())?;
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return Ok(said);
    }
    Err(ClusterError::Program { program, status: output.status, output: said })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Those of other settings are other folders beside it.
    #[test]
    fn templates_that_nobody_has_used_for_a_week_go_when_another_one_is_made() -> Result<()> {
        let base = tempfile::tempdir().unwrap();
        fs::set_permissions(base.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let base = fs::canonicalize(base.path()).unwrap();
        let programs = Programs::find()?;
        let account = Account::choose(&programs, &base)?;
        let cache = cache_folder(&account, &base)?.unwrap();
        let shell = |script: &str| run(account.shell(script, [""; 0]).current_dir(&cache), "");
        let found = || {
            let mut found = shell("ls")?.lines().map(str::to_owned).collect::<Vec<_>>();
            found.sort();
            Ok::<_, ClusterError>(found)
        };
        shell("mkdir -p unused/base recent ../cluster && touch -t 202001010000 unused")?;
        let made = template(&programs, &account, &base, &base.join("cluster"), false)?;
        let name = made.file_name().unwrap().to_str().unwrap();
        assert_eq!(made.parent(), Some(&*cache));
        assert_eq!(found()?, [name, "recent"]);

        // However long ago it was made: it is used.
        shell("mkdir unused && touch -t 202001010000 *")?;
        assert_eq!(template(&programs, &account, &base, &base.join("cluster"), false)?, made);
        remove_unused(&account, &cache)?;
        assert_eq!(found()?, [name]);
        Ok(())
    }
}
