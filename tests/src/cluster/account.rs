//! As whom the servers run: PostgreSQL refuses to be root.

use std::ffi::OsStr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::{ClusterError, Result};
use super::programs::Programs;

/// The identity of the servers, of their files and of whoever must see into their processes.
#[derive(Clone, Debug)]
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
    /// The first account which can run `programs` inside `folder`; the folder then belongs to it.
    pub(crate) fn choose(programs: &Programs, folder: &Path) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ours);
        }
        let other = ["postgres", "nobody"].into_iter().filter_map(|name| {
            let (user, group) = ids(name)?;
            Some(Self::Other { user, group })
        });
        // initdb wants an identity with a name; `daemon` has one on every system.
        let namespace = ids("daemon").map(|(user, group)| Self::Namespace { user, group });
        for account in other.chain(namespace) {
            account.own(folder)?;
            let mut probe = account.command(programs.program("postgres"));
            probe.arg("--version").current_dir(folder).stdin(Stdio::null());
            if probe.output().is_ok_and(|output| output.status.success()) {
                return Ok(account);
            }
        }
        Err(ClusterError::NoAccount {
            program: programs.program("postgres").display().to_string(),
            folder: folder.display().to_string(),
        })
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
        // Messages in English, and macOS needs a locale that starts no thread.
        command.env("LC_ALL", "C").process_group(0);
        command
    }

    /// Gives `path` to the account.
    pub(crate) fn own(&self, path: &Path) -> Result<()> {
        let (user, group) = match self {
            Self::Ours => return Ok(()),
            Self::Other { user, group } => (*user, *group),
            Self::Namespace { .. } => (0, 0),
        };
        chown(path, Some(user), Some(group))
            .map_err(ClusterError::io(format!("cannot give {} to the server account", path.display())))
    }

    /// Tells apart the files of different accounts.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Ours => String::from("ours"),
            Self::Other { user, .. } => format!("other-{user}"),
            Self::Namespace { user, .. } => format!("namespace-{user}"),
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
