//! Nothing outlives its test: a small process that waits for ours to end, however it ends.
//!
//! Each cluster has a guardian, a shell script that reads from a pipe whose only other end is in our
//! process. When we drop the cluster, exit, panic, or are killed with `kill -9`, the kernel closes that end;
//! the guardian then ends every process inside the cluster's folder and removes the folder. Dropping a cluster
//! takes the very same way, so the way is tested by every test.

use std::path::Path;
use std::process::{Child, Stdio};

use super::account::Account;
use super::error::{ClusterError, Result};

const SCRIPT: &str = include_str!("guardian.sh");

#[derive(Debug)]
pub(crate) struct Guardian(Child);

impl Guardian {
    /// Starts to watch over `folder`, which must be canonical and owned by `account`. Start it before any
    /// other process in the folder.
    pub(crate) fn watch(account: &Account, folder: &Path) -> Result<Self> {
        let mut command = script(account, folder, "remove");
        let child = command.stdin(Stdio::piped()).spawn().map_err(ClusterError::io("cannot start sh"))?;
        Ok(Self(child))
    }

    /// Ends the servers, removes the folder and waits until that is done.
    pub(crate) fn finish(&mut self) {
        drop(self.0.stdin.take());
        // It can only fail when somebody else has waited for the child: then it is gone, too.
        let _gone = self.0.wait();
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
    let mut command = script(account, data, "keep");
    command.stdin(Stdio::null()).status().map_err(ClusterError::io("cannot run sh"))?;
    Ok(())
}

/// It runs as the servers do: root without the right to trace cannot look into their processes.
fn script(account: &Account, folder: &Path, task: &str) -> std::process::Command {
    let account = match account {
        Account::Namespace { .. } => &Account::Ours,
        Account::Ours | Account::Other { .. } => account,
    };
    let mut command = account.command("/bin/sh");
    command.arg("-c").arg(SCRIPT).arg("rr-guardian").arg(folder).arg(task);
    command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    command
}
