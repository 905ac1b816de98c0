//! As whom the servers run: PostgreSQL refuses to be root.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::{ClusterError, Result};
use super::programs::Programs;

/// The identity of the servers, of their files and of whoever must see into their processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// We are an ordinary user, and so are the servers.
    Ours,
    /// We are root; the servers run as this account.
    Other { user: u32, group: u32 },
    /// We are root, and other accounts cannot reach the programs: inside a user namespace our own
    /// identity looks like this account.
    Namespace { user: u32, group: u32 },
}

impl Account {
    /// The first account which can run `programs` and write into `base`.
    pub(crate) fn choose(programs: &Programs, base: &Path) -> Result<Self> {
        let program = programs.program("postgres");
        let can_run = |account: &Self| {
            let mut probe = account.shell("test -w . && exec \"$1\" --version", [&program]);
            probe.current_dir(base).stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
        };
        let is_root = rustix::process::geteuid().is_root();
        Self::first(is_root, ids, can_run).ok_or_else(|| ClusterError::NoAccount {
            program: program.display().to_string(),
            folder: base.display().to_string(),
        })
    }

    /// The first one that can run the servers, on a machine where names have these ids.
    fn first(
        is_root: bool,
        ids: impl Fn(&str) -> Option<(u32, u32)>,
        can_run: impl Fn(&Self) -> bool,
    ) -> Option<Self> {
        if !is_root {
            return Some(Self::Ours);
        }
        let other = ["postgres", "nobody"].into_iter().filter_map(|name| {
            let (user, group) = ids(name)?;
            Some(Self::Other { user, group })
        });
        // initdb wants an identity with a name; `daemon` has one on every system.
        let namespace = ids("daemon").map(|(user, group)| Self::Namespace { user, group });
        other.chain(namespace).find(can_run)
    }

    /// A command that runs `program` as this account, free of the caller's PostgreSQL settings.
    ///
    /// Files it makes belong to the account. It has its own process group: a Ctrl-C is for us, and we end
    /// our servers ourselves.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match self {
            Self::Ours => Command::new(program),
            Self::Other { user, group } => {
                let mut command = Command::new(program);
                command.gid(*group).uid(*user);
                command
            }
            Self::Namespace { user, group } => {
                let mut command = Command::new("unshare");
                command.arg("--user");
                command.arg(format!("--map-user={user}")).arg(format!("--map-group={group}"));
                command.arg("--").arg(program);
                command
            }
        };
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        // Passwords and certificates of the caller's are not for our servers, and another account may not even look there.
        command.env("HOME", "/nonexistent");
        // Messages in English, and macOS needs a locale that starts no thread.
        command.env("LC_ALL", "C").process_group(0);
        command
    }

    /// A shell that runs `script` as this account with `arguments` as `$1`, `$2`, ….
    ///
    /// Whatever is made inside a cluster's folder is made by the account: root would follow the links of
    /// others there, and the guardian could not remove what root has made.
    pub(crate) fn shell<A: AsRef<OsStr>>(
        &self,
        script: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = self.command("/bin/sh");
        command.args(["-c", script, "sh"]).args(arguments);
        command
    }

    /// The owner of what this account makes, as we see it.
    pub(crate) fn owner(&self) -> u32 {
        match self {
            Self::Other { user, .. } => *user,
            Self::Ours | Self::Namespace { .. } => rustix::process::geteuid().as_raw(),
        }
    }

    /// Tells apart the folders of different accounts.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Ours | Self::Other { .. } => self.owner().to_string(),
            Self::Namespace { user, .. } => format!("{}-as-{user}", self.owner()),
        }
    }
}

/// User and primary group of a named account.
fn ids(name: &str) -> Option<(u32, u32)> {
    let id = |kind: &str| {
        let output = Command::new("id").args([kind, name]).stdin(Stdio::null()).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    Some((id("-u")?, id("-g")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSTGRES: Account = Account::Other { user: 26, group: 27 };
    const NOBODY: Account = Account::Other { user: 65_534, group: 65_533 };
    const DAEMON: Account = Account::Namespace { user: 1, group: 2 };

    /// What root takes on a machine with these accounts, where these can run the servers.
    fn by_root(named: &[&str], able: &[Account]) -> Option<Account> {
        let ids = |name: &str| match name {
            _ if !named.contains(&name) => None,
            "postgres" => Some((26, 27)),
            "nobody" => Some((65_534, 65_533)),
            _ => Some((1, 2)),
        };
        Account::first(true, ids, |account| able.contains(account))
    }

    #[test]
    fn root_takes_the_first_account_that_can_run_the_servers() {
        let all = ["nobody", "daemon", "postgres"];
        assert_eq!(by_root(&all, &[DAEMON, NOBODY, POSTGRES]), Some(POSTGRES));
        assert_eq!(by_root(&all, &[DAEMON, NOBODY]), Some(NOBODY));
        assert_eq!(by_root(&all, &[DAEMON]), Some(DAEMON), "the programs lie where only root gets");
        assert_eq!(by_root(&["nobody", "daemon"], &[DAEMON, NOBODY, POSTGRES]), Some(NOBODY));
        assert_eq!(by_root(&["nobody"], &[]), None);
    }

    #[test]
    fn everybody_else_is_not_asked() {
        assert_eq!(Account::first(false, |_| None, |_| false), Some(Account::Ours));
    }
}
