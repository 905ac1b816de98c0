//! Nothing outlives its test: a small process that waits for ours to end, however it ends.
//!
//! Each cluster has a guardian, a shell script that reads from a pipe whose only other end is in our
//! process. When we drop the cluster, exit, panic, or are killed with `kill -9`, the kernel closes that end;
//! the guardian then ends every process inside the cluster's folder and removes the folder. Dropping a cluster
//! takes the very same way, so the way is tested by every test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::account::Account;
use super::error::{ClusterError, Result};

const SCRIPT: &str = include_str!("guardian.sh");

#[derive(Debug)]
pub(crate) struct Guardian {
    process: Child,
    folder: PathBuf,
}

impl Guardian {
    /// Starts a guardian, which makes a folder in `base` for `account` and watches over it from its first
    /// moment. `base` must be canonical, as processes are known by their true folder.
    pub(crate) fn watch(account: &Account, base: &Path) -> Result<Self> {
        let name = format!("rr-cluster-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let folder = base.join(name);
        let mut command = script(account, &folder, "watch");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let process = command.spawn().map_err(ClusterError::io("cannot start sh"))?;
        let mut guardian = Self { process, folder };
        let mut word = String::new();
        let told = guardian.process.stdout.take().map(|out| BufReader::new(out).read_line(&mut word));
        match told {
            Some(Ok(length)) if length > 0 => Ok(guardian),
            _ => Err(ClusterError::NoFolder { folder: guardian.folder.display().to_string() }),
        }
    }

    /// The folder it watches over.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends the servers, removes the folder and waits until that is done.
    pub(crate) fn finish(&mut self) {
        drop(self.process.stdin.take());
        // It can only fail when somebody else has waited for the child: then it is gone, too.
        let _gone = self.process.wait();
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Ends what is left of a server whose postmaster was killed: its backends may live on for a while and
/// would keep it from starting again.
pub(crate) fn end_leftovers(account: &Account, data: &Path) -> Result<()> {
    let mut command = script(account, data, "sweep");
    command.stdin(Stdio::null()).status().map_err(ClusterError::io("cannot run sh"))?;
    Ok(())
}

/// It runs as the servers do: root without the right to trace cannot look into their processes.
fn script(account: &Account, folder: &Path, task: &str) -> Command {
    let account = match account {
        Account::Namespace { .. } => &Account::Ours,
        Account::Ours | Account::Other { .. } => account,
    };
    let mut command = account.command("/bin/sh");
    command.arg("-c").arg(SCRIPT).arg("rr-guardian").arg(folder).arg(task);
    command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    command
}
